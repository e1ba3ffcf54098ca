"""A folder of synthetic people in the layout that `edge_reid.data.folder` reads, with attributes and part labels."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.data.synthetic.cameras import Camera, draw_cameras
from edge_reid.data.synthetic.crops import make_crop
from edge_reid.data.synthetic.people import Person, draw_person
from edge_reid.errors import UserError
from edge_reid.files import atomic_folder
from edge_reid.types import MODALITIES

FIRST_TEST_IDENTITY = 50_000
"""Test people have numbers of their own, so they stay the same however many people are trained on."""

JPEG_QUALITY = 92

GENERATOR = 1
"""Raised with every change after which the same seed gives other bytes."""


LARGEST = 512
"""Height and width of a picture: the bank that folds of cloth are cut from is no larger."""


@dataclass(frozen=True)
class _Job:
    """All pictures of one identity: what a worker process draws."""

    root: Path
    split: str
    identity: int
    seed: int
    cameras: tuple[Camera, ...]
    pictures: int
    size: tuple[int, int]


def person_of(seed: int, identity: int) -> Person:
    """The person that has this number in every data set of this seed."""
    return draw_person(np.random.default_rng([seed, identity]))


@dataclass(frozen=True, kw_only=True)
class Population:
    """What a data set holds; its bytes depend on these numbers alone."""

    identities: int
    """People to train on."""
    test_identities: int
    """People to test on."""
    pictures: int = 8
    """Of each person in each modality."""
    cameras: int = 4
    """Half of them visible, half thermal; each person is met by at most two of either."""
    size: tuple[int, int] = (256, 128)
    """Height and width of a picture."""
    seed: int = 0
    """Of the people."""
    camera_seed: int | None = None
    """Of the cameras and places; `seed` when None."""

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if self.cameras < 2 or self.cameras % 2:
            raise UserError(f"--cameras {self.cameras}: needs an even number of at least 2, half of them thermal")
        if not 0 <= self.identities < FIRST_TEST_IDENTITY or self.test_identities < 0:
            raise UserError(f"--identities {self.identities}: needs 0 to {FIRST_TEST_IDENTITY - 1}, tests 0 or more")
        if self.identities + self.test_identities == 0:
            raise UserError("--identities 0 and --test-identities 0: nobody to draw; ask for at least one person")
        if self.pictures < 1 or min(self.size) < 16 or max(self.size) > LARGEST:
            raise UserError(f"--pictures needs at least 1, --size 16 to {LARGEST} in height and width")
        if self.seed < 0 or (self.camera_seed or 0) < 0:
            raise UserError("--seed and --camera-seed need 0 or more")

    @property
    def fleet(self) -> list[Camera]:
        """Its cameras."""
        return draw_cameras(self.cameras, self.seed if self.camera_seed is None else self.camera_seed)


def write_dataset(
    out: Path,
    population: Population,
    *,
    workers: int = 1,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Draw a population into the folder `out`; return the number of pictures. The bytes do not depend on `workers`.

    Raises:
        UserError: `out` exists and `overwrite` is false or it holds something else.
    """
    fleet, seed, pictures = population.fleet, population.seed, population.pictures
    with atomic_folder(out, overwrite=overwrite, marker="dataset.json") as root:
        jobs = [
            _Job(root, split, identity, seed, _meets(fleet, seed, identity), pictures, population.size)
            for split, numbers in (
                ("train", range(population.identities)),
                ("test", range(FIRST_TEST_IDENTITY, FIRST_TEST_IDENTITY + population.test_identities)),
            )
            for identity in numbers
        ]
        values: dict[str, list[int]] = {}
        names: dict[str, int] = {}
        for done, (identity, attributes) in enumerate(_run(jobs, workers), start=1):
            names = {name: number for name, (_, number) in attributes.items()}
            values[str(identity)] = [value for value, _ in attributes.values()]
            if progress:
                progress(done, len(jobs))
        described = {"names": list(names), "sizes": list(names.values()), "values": values}
        (root / "attributes.json").write_text(json.dumps(described))
        about = {
            "generator": GENERATOR,
            "synthetic": True,
            **asdict(population),
            "fleet": [{"number": c.number, "modality": c.modality, "outdoor": c.outdoor} for c in fleet],
        }
        (root / "dataset.json").write_text(json.dumps(about, indent=1))
    return len(jobs) * pictures * len(MODALITIES)


def _meets(fleet: list[Camera], seed: int, identity: int) -> tuple[Camera, ...]:
    """Two visible and two thermal cameras of the fleet (or as many as it has)."""
    rng = np.random.default_rng([seed, identity, 1])
    half = len(fleet) // 2
    chosen = []
    for group in (fleet[:half], fleet[half:]):
        chosen += [group[i] for i in sorted(rng.permutation(half)[:2])]
    return tuple(chosen)


def _run(jobs: list[_Job], workers: int) -> Iterator[tuple[int, dict[str, tuple[int, int]]]]:
    if workers <= 1:
        yield from map(_draw_identity, jobs)
        return
    # spawn, not fork: OpenCV's threads do not survive a fork
    with multiprocessing.get_context("spawn").Pool(workers, initializer=partial(cv2.setNumThreads, 1)) as pool:
        yield from pool.imap(_draw_identity, jobs, chunksize=8)


def _draw_identity(job: _Job) -> tuple[int, dict[str, tuple[int, int]]]:
    person = person_of(job.seed, job.identity)
    for modality in MODALITIES:
        cameras = [camera for camera in job.cameras if camera.modality == modality]
        folder = job.root / job.split / modality / f"{job.identity:05d}"
        folder.mkdir(parents=True)
        labels = job.root / "parts" / job.split / modality / f"{job.identity:05d}"
        labels.mkdir(parents=True)
        for picture in range(job.pictures):
            camera = cameras[picture % len(cameras)]
            rng = np.random.default_rng([job.seed, job.identity, camera.seed, picture])
            crop = make_crop(person, camera, rng, job.size)
            name = f"c{camera.number}_{picture:03d}"
            _write(folder / f"{name}.jpg", crop.image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            _write(labels / f"{name}.png", crop.parts, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return job.identity, person.attributes()


def _write(path: Path, image: NDArray[np.uint8], options: list[int]) -> None:
    # encode, then write with Python: cv2.imwrite hides a full disk behind a False
    done, encoded = cv2.imencode(path.suffix, image, options)
    if not done:
        raise RuntimeError(f"{path}: OpenCV could not encode the picture")
    path.write_bytes(encoded.tobytes())
