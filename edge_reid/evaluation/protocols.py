"""Evaluation protocols: which pictures are the gallery, how often it is drawn, and one line that says so.

Shapes: N pictures, D the embedding, Q queries, G gallery pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_reid.data.search import TRIALS, Search, single_shot_search
from edge_reid.evaluation.metrics import rank_embeddings
from edge_reid.types import MODALITIES, Modality, Sample

EmbedSamples = Callable[[list[Sample]], NDArray[np.float32]]
"""Pictures of one modality to unit vectors `(N, D)`."""


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
    direction: str
    """Its name: "thermal -> visible", for example."""
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


def evaluate(
    search: Search,
    query: NDArray[np.float32],
    pool: NDArray[np.float32],
    *,
    feature: str = "BN-neck, unit norm",
) -> Evaluation:
    """Rank every trial of a search by cosine and average the trials.

    Args:
        search: whom one looks for, and where.
        query: embeddings of `search.query`, `(Q, D)`, unit norm.
        pool: embeddings of `search.pool`, `(P, D)`.
        feature: what the embeddings are, for the protocol line.

    Raises:
        ValueError: both sides are of one modality, or no query has its identity in the gallery.
    """
    q, p = Embedded(search.query, query), Embedded(search.pool, pool)
    if q.modality == p.modality:
        raise ValueError(f"query and gallery are both {q.modality}; a person is searched in the other modality")
    query_ids, query_cameras, pool_ids, pool_cameras = q.identities(), q.cameras(), p.identities(), p.cameras()
    rankings = [
        rank_embeddings(
            query[trial.queries], pool[trial.gallery], query_ids[trial.queries], pool_ids[trial.gallery],
            query_cameras[trial.queries], pool_cameras[trial.gallery], rule=search.rule,
        )
        for trial in search.trials
    ]  # fmt: skip
    cmc = np.mean([ranking.cmc for ranking in rankings], axis=0)
    asked, counted = len(search.trials[0].queries), rankings[0].valid_queries
    whom = f", the {counted} queries counted that have someone to find" if counted < asked else ""
    return Evaluation(
        query_modality=q.modality,
        gallery_modality=p.modality,
        direction=search.direction,
        rank1=float(cmc[0]),
        rank5=float(cmc[4]),
        rank10=float(cmc[9]),
        mean_ap=float(np.mean([ranking.mean_ap for ranking in rankings])),
        mean_inp=float(np.mean([ranking.mean_inp for ranking in rankings])),
        cmc=tuple(map(float, cmc)),
        identities=len(np.unique(pool_ids[search.trials[0].gallery])),
        queries=counted,
        trials=len(rankings),
        protocol=f"{search.protocol}{whom}, cosine, feature {feature}, no flip, no re-ranking",
    )


def answer(searches: Sequence[Search], embed: EmbedSamples, *, feature: str = "BN-neck, unit norm") -> list[Evaluation]:
    """Evaluate several searches; `embed` sees every picture once, all of a modality in one call."""
    rows: dict[Modality, dict[Sample, int]] = {modality: {} for modality in MODALITIES}
    for sample in (sample for search in searches for side in (search.query, search.pool) for sample in side):
        known = rows[sample.modality]
        known.setdefault(sample, len(known))
    embeddings = {modality: embed(list(known)) for modality, known in rows.items()}

    def of(side: Sequence[Sample]) -> NDArray[np.float32]:
        modality = side[0].modality
        return np.asarray(embeddings[modality][[rows[modality][sample] for sample in side]])

    return [evaluate(search, of(search.query), of(search.pool), feature=feature) for search in searches]


def single_shot(query: Embedded, gallery: Embedded, *, trials: int = TRIALS, data: str = "data folder") -> Evaluation:
    """Per trial, draw one gallery picture per identity, rank all queries by cosine, and average the trials.

    Args:
        query: all queries.
        gallery: the pictures to draw from, of the other modality.
        trials: draws of the gallery.
        data: the data set's name, for the protocol line.

    Raises:
        ValueError: both sides are of one modality, or no query has its identity in the gallery.
    """
    search = single_shot_search(query.samples, gallery.samples, rule="regdb", trials=trials, data=data)
    return evaluate(search, query.embeddings, gallery.embeddings)


def both_directions(
    visible: Embedded, thermal: Embedded, *, data: str = "data folder"
) -> tuple[Evaluation, Evaluation]:
    """(thermal -> visible, visible -> thermal), each as `single_shot`."""
    return single_shot(thermal, visible, data=data), single_shot(visible, thermal, data=data)
