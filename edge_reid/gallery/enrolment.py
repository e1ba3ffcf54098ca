"""From pictures of a person to someone in a gallery.

Shapes: h, w a picture's size; H, W the network's input; D the embedding. Pictures and crops are uint8, `(h, w, 3)` BGR
for visible and `(h, w)` for thermal.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.bundle import Bundle, MatchingRule
from edge_reid.cameras.capture import PICTURE_SUFFIXES, natural_order
from edge_reid.engines import Engine, load_engine
from edge_reid.errors import UserError
from edge_reid.gallery.base import Prototype
from edge_reid.gallery.records import Person
from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.people.appearance import MOST_REMEMBERED
from edge_reid.people.boxes import Boxes
from edge_reid.people.detection import load_detector
from edge_reid.people.motion import DOUBTFUL
from edge_reid.people.tracking import STRONG
from edge_reid.preprocess import read_image, resize
from edge_reid.types import MODALITIES, Embed, Modality

LEAST_QUALITY = 1e-3
"""Of a picture without any edge."""

JPEG_QUALITY = 90


@dataclass(frozen=True)
class Shot:
    """One picture of one person: the crop `(H, W[, 3])`, and how much it tells, above 0."""

    crop: NDArray[np.uint8]
    quality: float

    @classmethod
    def of(cls, picture: NDArray[np.uint8], box: Boxes, size: tuple[int, int]) -> Shot:
        """What a box `(4,)` of a picture shows, for a network of input size (H, W)."""
        height, width = picture.shape[:2]
        left, top, right, bottom = np.clip(np.rint(box), 0, (width, height, width, height)).astype(int)
        cut = picture[top:bottom, left:right]
        crop = resize(cut, size)
        inside = cut.shape[0] * cut.shape[1] / max(float((box[2] - box[0]) * (box[3] - box[1])), 1.0)
        sharpness = float(np.log1p(cv2.Laplacian(crop, cv2.CV_16S).var()))
        return cls(crop, max(min(1.0, cut.shape[0] / size[0]) * inside * sharpness, LEAST_QUALITY))

    def jpeg(self) -> bytes:
        """The crop as a file's content."""
        _, encoded = cv2.imencode(".jpg", self.crop, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        return encoded.tobytes()


@dataclass(frozen=True)
class Lookalike:
    """Someone in the gallery who counts as the person enrolled, and the cosine that says so."""

    person: Person
    cosine: float

    def __str__(self) -> str:
        """What to tell who enrolled."""
        return (
            f"looks like person {self.person.called}: cosine {self.cosine:.2f}; if they are one, forget one of them "
            "and enrol the pictures under the other's name"
        )


def pictures_of(paths: Sequence[Path]) -> list[Path]:
    """These files, and in the place of a folder the pictures in it, in natural order.

    Raises:
        UserError: there is none in a folder.
    """
    files: list[Path] = []
    for path in paths:
        inside = sorted(path.iterdir(), key=natural_order) if path.is_dir() else []
        found = [one for one in inside if one.suffix.lower() in PICTURE_SUFFIXES] if path.is_dir() else [path]
        if not found:
            raise UserError(f"{path}: no pictures in this folder ({', '.join(PICTURE_SUFFIXES)}); name another")
        files += found
    return files


def read_shot(path: Path, modality: Modality, size: tuple[int, int], detector: str | None) -> Shot:
    """A picture file of one person; with a detector, the one person in it is cut out.

    Raises:
        UserError: it is no picture, or the detector finds nobody or several people.
    """
    picture = read_image(path, modality)
    whole = np.array([0, 0, picture.shape[1], picture.shape[0]], np.float32)
    if detector is None:
        return Shot.of(picture, whole, size)
    if detector == "motion":
        raise UserError("--detector motion: sees nothing in a single picture; choose another")
    found = load_detector(detector, modality).detect(picture)
    # what is warm in a single picture is doubtful to `hot`, for nothing has moved yet; here one of it is a person
    boxes = found.boxes[found.scores >= (DOUBTFUL if detector.startswith("hot") else STRONG)]
    if len(boxes) != 1:
        raise UserError(
            f"{path}: shows {len(boxes)} people to {detector}; give pictures of one person, or cut them out yourself "
            "and leave --detector out"
        )
    return Shot.of(picture, boxes[0], size)


@contextlib.contextmanager
def open_embed(bundle: Bundle, modality: Modality) -> Iterator[Embed]:
    """The bundle's network of a modality, to vectors as the gallery holds them.

    Raises:
        UserError: see `edge_reid.engines.load_engine`.
    """
    with contextlib.closing(load_engine(bundle, modality)) as engine:
        yield comparable(bundle, engine)


def comparable(bundle: Bundle, engine: Engine) -> Embed:
    """What an engine of the bundle embeds, as vectors that the gallery holds."""
    rule = bundle.manifest.matching
    return engine.embed if rule is None else rule.comparing(engine.embed, engine.modality)


def single_prototypes(shots: Sequence[Shot], modality: Modality, embed: Embed, time: float) -> list[Prototype]:
    """Of pictures that somebody chose: one of each, worth as much as a whole track."""
    vectors = embed(np.stack([shot.crop for shot in shots]))
    return [
        Prototype(modality, vector, MOST_REMEMBERED * shot.quality, time)
        for shot, vector in zip(shots, vectors, strict=True)
    ]


def mean_prototype(shots: Sequence[Shot], modality: Modality, embed: Embed, time: float) -> Prototype:
    """Of pictures taken within seconds: their mean, weighted by quality."""
    weights = np.array([shot.quality for shot in shots], np.float32)
    total = weights @ embed(np.stack([shot.crop for shot in shots]))
    unit = np.asarray(total / max(float(np.linalg.norm(total)), 1e-12), dtype=np.float32)
    return Prototype(modality, unit, float(weights.sum()), time)


def find_lookalike(
    gallery: SqliteGallery, prototypes: Sequence[Prototype], rule: MatchingRule | None, name: str
) -> Lookalike | None:
    """Whom the matching rule takes for the same person, though they are not called so: the surest of them."""
    if rule is None:
        return None
    best: tuple[float, int, float] | None = None
    own = gallery.named(name)
    for prototype in prototypes:
        for modality in MODALITIES:
            same = modality == prototype.modality
            accept = (rule.within[modality] if same else rule.across).accept
            for candidate in gallery.search(prototype.vector[None], modality, most=2)[0]:
                surplus = candidate.score - accept
                if candidate.person != own and surplus >= 0 and (best is None or surplus > best[0]):
                    best = surplus, candidate.person, candidate.score
    return None if best is None else Lookalike(gallery.person(best[1]), best[2])
