"""The pictures that calibrate: of training people, each modality from its own pool, no person or camera favoured."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_reid.errors import UserError
from edge_reid.preprocess import read_crop
from edge_reid.types import Modality, Sample

PICTURES = 256
"""Per modality. INT8 cost a model on its way to the reference one 0.4 points of rank-1 with 256, 1.2 points with 64."""

FEW = 64
"""Pictures of a modality; with less, the extremes of most tensors have not been seen."""

CHUNK = 4
"""Crops whose activations are held at once."""


def choose(samples: Sequence[Sample], modality: Modality, count: int = PICTURES, *, seed: int = 0) -> list[Sample]:
    """Up to `count` pictures of a modality: person after person, each time from the camera that was used least.

    Raises:
        UserError: there is no picture of the modality.
    """
    random = np.random.default_rng(seed)
    people: dict[int, list[Sample]] = {}
    for sample in samples:
        if sample.modality == modality:
            people.setdefault(sample.identity, []).append(sample)
    if not people:
        raise UserError(f"calibration: no {modality} picture of a training person; add train/{modality}/ to the folder")
    for pictures in people.values():
        random.shuffle(pictures)
    queue = [people[identity] for identity in random.permutation(sorted(people))]
    used: Counter[int] = Counter()
    chosen: list[Sample] = []
    while queue and len(chosen) < count:
        pictures = queue.pop(0)
        picture = min(pictures, key=lambda sample: used[sample.camera])
        pictures.remove(picture)
        used[picture.camera] += 1
        chosen.append(picture)
        if pictures:
            queue.append(pictures)
    return chosen


def load_chunks(samples: Sequence[Sample], size: tuple[int, int], chunk: int = CHUNK) -> Iterator[NDArray[np.uint8]]:
    """Their crops at (H, W), a few at a time: `(chunk, H, W, 3)` or `(chunk, H, W)`."""
    for start in range(0, len(samples), chunk):
        yield np.stack([read_crop(s.path, s.modality, size) for s in samples[start : start + chunk]])


def doubts(samples: Sequence[Sample]) -> list[str]:
    """What makes a pool of one modality a poor sample, a line each."""
    if not samples:
        return []
    name = f"calibration: {len(samples)} {samples[0].modality} pictures"
    different = len({hashlib.sha256(sample.path.read_bytes()).digest() for sample in samples})
    lines = [f"{name} are few, INT8 may cost more than it has to; {FEW} or more are better"] * (len(samples) < FEW)
    if different < len(samples):
        lines.append(f"{name}, of which only {different} are different; the others count twice")
    return lines


def fingerprint(samples: Sequence[Sample]) -> str:
    """The SHA-256 of the pictures' bytes, in order."""
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(sample.path.read_bytes())
    return digest.hexdigest()
