"""What is known of who a track is, and what may come of it. Shapes: D the embedding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_reid.types import Modality


@dataclass(frozen=True)
class Look:
    """How a live track looks `(D,)`, how good the pictures were, and since when and until when it was seen."""

    vector: NDArray[np.float32]
    quality: float
    started: float
    seen: float
    picture: Callable[[], bytes | None] = lambda: None
    """The best crop as JPEG."""


Looks = Mapping[Modality, Mapping[int, Look]]
Member = tuple[Modality, int]


@dataclass(frozen=True)
class Evidence:
    """For someone being someone: a cosine with a prototype of `modality`, also less the two thresholds of its kind."""

    score: float
    modality: Modality
    surplus: float
    """0 or more: may be accepted."""
    doubt: float
    """Below 0: certainly someone else."""


@dataclass(frozen=True)
class Turn:
    """A body's person changed: `kind` is identified, unidentified, person_new or person_merged."""

    kind: str
    person: int
    members: Mapping[Modality, int]
    evidence: Evidence | None = None
    """What a track was recognised by."""
    was: int | None = None
    """The number that a merged person had."""


Verdict = int | Literal["newcomer", "unsure"]


@dataclass(eq=False)
class Body:
    members: dict[Modality, int]
    person: int | None = None
    new: bool = False
    """Whether the person was first met as this body, and may turn out to be someone known."""
    surplus: float = 0.0
    verdict: Verdict = "unsure"
    votes: int = 0
    """How often the verdict was given in a row."""

    def hear(self, verdict: Verdict) -> None:
        self.votes = self.votes + 1 if verdict == self.verdict else 1
        self.verdict = verdict

    def lose(self) -> None:
        """Be nobody known."""
        self.person, self.new, self.surplus, self.votes = None, False, 0.0, 0
