"""Who counts as one person: the rule that a bundle carries, with what was measured when it was made.

Shapes: N vectors, D the embedding.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from edge_reid.types import Embed, Modality

Kind = Literal["between", "across", "visible", "thermal"]
"""What is compared with what: the fields `between` and `across` of the rule, and the two of `within`."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Thresholds(_Model):
    """Of the cosine of two tracks' embeddings; between the two nobody says."""

    accept: float
    """From here on they are one person."""
    unknown: float
    """Below they are two; at most `accept`."""


class Searches(_Model):
    """What comes of searching tracks among so many people, with `accept` and the margin; fractions 0..1."""

    people: int
    named: float
    """Of those who are among them: found (1 - FNIR)."""
    misnamed: float
    """Of those who are among them: taken for someone else."""
    strangers_named: float
    """Of those who are not among them: taken for someone (FPIR)."""


class Measured(_Model):
    """What one kind of thresholds does to the people that it was chosen on; fractions 0..1."""

    true_accept_rate: float
    """Couples of tracks of one person that are accepted."""
    false_accept_rate: float
    """Couples of tracks of two people that are accepted."""
    interval: tuple[float, float]
    """Where that rate lies with 95 % confidence (Wilson), `pairs` being the trials."""
    people: int
    """Who make couples of one person."""
    pairs: int
    """Couples of two people; two tracks of one couple say nearly the same, so they are one trial."""
    searches: list[Searches]
    """Among `MatchingRule.people`, and among five times as many where the data has them."""


class MatchingRule(_Model):
    """From which cosine on tracks are one person; see `edge_reid.evaluation.open_set` for how it is found."""

    between: Thresholds
    """A visible with a thermal track, both in view: asked couple by couple."""
    across: Thresholds
    """A track with remembered people of the other modality: asked of all of them at once, so stricter."""
    within: dict[Modality, Thresholds]
    """A track with remembered people of its own modality, likewise: the same camera at another moment."""
    margin: float
    """Cosine by which the best person must exceed the second best."""
    means: dict[Modality, list[float]] | None
    """`(D,)` to subtract, see `centered`; None where that did not help."""
    means_gain: tuple[float, float]
    """What they bring in true accepts between modalities on people who did not make them, and its standard error."""
    crops: int
    """Pictures pooled per track when this was measured."""
    false_accept_rate: float
    """Asked for: of couples for `between`, of strangers searched among `people` for the others."""
    people: int
    """Whom a stranger is searched among."""
    measured: dict[Kind, Measured]
    engines: dict[Modality, str]
    """Backend and precision that computed the embeddings."""
    data: str
    """The held-out people."""
    date: str

    def thresholds(self, kind: Kind) -> Thresholds:
        """Those of one kind of couples."""
        if kind == "between":
            return self.between
        return self.across if kind == "across" else self.within[kind]

    def centered(self, vectors: NDArray[np.float32], modality: Modality) -> NDArray[np.float32]:
        """An engine's embeddings `(N, D)` as this rule compares them, unit norm; the same where there are no means."""
        if self.means is None:
            return vectors
        return center(vectors, np.array(self.means[modality], dtype=np.float32))

    def comparing(self, embed: Embed, modality: Modality) -> Embed:
        """An engine's `embed` that gives vectors as this rule compares them."""
        return lambda crops: self.centered(embed(crops), modality)


def center(vectors: NDArray[np.float32], mean: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors `(N, D)` less a mean `(D,)`, unit norm; a vector that is the mean stays zero."""
    return unit(vectors - mean)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors `(N, D)` at unit norm; zero stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)
