"""Evaluation protocols: which pictures are the gallery, how often it is drawn, and one line that says so.

Shapes: N pictures, D the embedding, Q queries, G gallery pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_reid.evaluation.metrics import Ranking, Rule, rank
from edge_reid.types import Modality, Sample


@dataclass(frozen=True)
class Embedded:
    """Pictures of one modality and their embeddings, row by row."""

    samples: Sequence[Sample]
    embeddings: NDArray[np.float32]
    """`(N, D)`, unit norm."""

    def __post_init__(self) -> None:
        if len(self.samples) != len(self.embeddings) or not len(self.samples):
            raise ValueError(f"{len(self.samples)} pictures but {len(self.embeddings)} embeddings; one each expected")

    @property
    def modality(self) -> Modality:
        """Of all pictures."""
        return self.samples[0].modality

    def identities(self) -> NDArray[np.int64]:
        """`(N,)`"""
        return np.array([sample.identity for sample in self.samples], dtype=np.int64)

    def cameras(self) -> NDArray[np.int64]:
        """`(N,)`"""
        return np.array([sample.camera for sample in self.samples], dtype=np.int64)


@dataclass(frozen=True)
class Evaluation:
    """One direction's result: fractions 0..1, means over the trials."""

    query_modality: Modality
    gallery_modality: Modality
    rank1: float
    rank5: float
    rank10: float
    mean_ap: float
    mean_inp: float
    cmc: tuple[float, ...]
    """Ranks 1 to 20."""
    identities: int
    """In the gallery."""
    queries: int
    """With a right answer to find."""
    trials: int
    protocol: str
    """One line that fixes how the numbers were made."""

    @property
    def direction(self) -> str:
        """For example "thermal -> visible"."""
        return f"{self.query_modality} -> {self.gallery_modality}"


def single_shot(
    query: Embedded,
    gallery: Embedded,
    *,
    rule: Rule = "regdb",
    trials: int = 10,
    seed: int = 0,
    data: str = "data folder",
    feature: str = "BN-neck, unit norm",
) -> Evaluation:
    """Per trial, draw one gallery picture per identity, rank all queries by cosine, and average the trials.

    Args:
        query: all queries.
        gallery: the pictures to draw from, of the other modality.
        rule: see `rank`.
        trials: draws of the gallery.
        seed: trial t draws with (seed, t), from the identities in ascending order.
        data: the data set's name, for the protocol line.
        feature: what the embeddings are, for the protocol line.

    Raises:
        ValueError: both sides are of one modality, or no query has its identity in the gallery.
    """
    if query.modality == gallery.modality:
        raise ValueError(f"query and gallery are both {query.modality}; a person is searched in the other modality")
    similarity = query.embeddings @ gallery.embeddings.T
    identities, cameras = gallery.identities(), gallery.cameras()
    groups = [np.flatnonzero(identities == identity) for identity in np.unique(identities)]
    rankings: list[Ranking] = []
    for trial in range(trials):
        random = np.random.default_rng((seed, trial))
        drawn = np.array([random.choice(group) for group in groups])
        rankings.append(
            rank(
                -similarity[:, drawn], query.identities(), identities[drawn], query.cameras(), cameras[drawn], rule=rule
            )
        )
    cmc = np.mean([ranking.cmc for ranking in rankings], axis=0)
    return Evaluation(
        query_modality=query.modality,
        gallery_modality=gallery.modality,
        rank1=float(cmc[0]),
        rank5=float(cmc[4]),
        rank10=float(cmc[9]),
        mean_ap=float(np.mean([ranking.mean_ap for ranking in rankings])),
        mean_inp=float(np.mean([ranking.mean_inp for ranking in rankings])),
        cmc=tuple(map(float, cmc)),
        identities=len(groups),
        queries=rankings[0].valid_queries,
        trials=trials,
        protocol=(
            f"{data}, {query.modality} -> {gallery.modality}, {len(query.samples)} queries, gallery of one random "
            f"picture per identity ({len(groups)} identities, single-shot), {trials} trials (seed {seed}), rule {rule}"
            f", cosine, feature {feature}, no flip, no re-ranking"
        ),
    )


def both_directions(
    visible: Embedded,
    thermal: Embedded,
    *,
    rule: Rule = "regdb",
    trials: int = 10,
    seed: int = 0,
    data: str = "data folder",
    feature: str = "BN-neck, unit norm",
) -> tuple[Evaluation, Evaluation]:
    """(thermal -> visible, visible -> thermal), each as `single_shot`."""
    first = single_shot(thermal, visible, rule=rule, trials=trials, seed=seed, data=data, feature=feature)
    return first, single_shot(visible, thermal, rule=rule, trials=trials, seed=seed, data=data, feature=feature)
