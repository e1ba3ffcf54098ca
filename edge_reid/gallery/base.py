"""What every home of the gallery does, on one device or for many.

Shapes: N queries, D the embedding. Vectors are float32 of unit norm, of one embedding space: what two different models
make of one person cannot be compared, so a gallery belongs to one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_reid.types import Modality

Who = TypeVar("Who")
"""What a home calls people by: a file by number, a fleet by site, gallery and number."""


@dataclass(frozen=True)
class Prototype:
    """How someone looked to one camera once: the quality-weighted mean embedding `(D,)` of a track or of pictures."""

    modality: Modality
    vector: NDArray[np.float32]
    quality: float
    """Above 0; the worst of a person's prototypes of a modality goes when there are too many."""
    time: float
    """Seconds since 1970, UTC."""


@dataclass(frozen=True)
class Candidate(Generic[Who]):
    """Someone who may be the one searched for, and the best cosine with their prototypes of the modality asked."""

    person: Who
    score: float


class Gallery(Protocol[Who]):
    """People, each of whom is called once and for all: a number is never given twice, also after it was forgotten."""

    space: str
    """Names the model whose vectors these are; see `edge_reid.bundle.Bundle.space`."""

    def add(self, prototype: Prototype, person: Who | None = None) -> Who:
        """Keep how a person looks, a new one when None; returns who it is.

        Raises:
            KeyError: this is nobody (any more).
        """

    def search(self, vectors: NDArray[np.float32], modality: Modality, *, most: int = 5) -> list[list[Candidate[Who]]]:
        """The people nearest to each of the vectors `(N, D)` by their prototypes of `modality`, best first."""

    def forget(self, person: Who) -> None:
        """Leave nothing of a person. Raises KeyError where this is nobody."""

    def count(self) -> int:
        """How many people there are."""

    def close(self) -> None:
        """Complete what was begun."""
