"""CMC, mAP and mINP under the rules of the published protocols.

Shapes: Q queries, G gallery pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Rule = Literal["regdb", "sysu", "llcm"]

RANKS = 20


@dataclass(frozen=True)
class Ranking:
    """How well the queries found their people; all values 0..1, over the queries that had anyone to find."""

    cmc: NDArray[np.float64]
    """`(20,)`: share of queries with a right answer among the first 1, 2, ... 20."""
    mean_ap: float
    """Mean over queries of the average precision (not interpolated)."""
    mean_inp: float
    """Mean over queries of (right answers) / (rank of the last right answer)."""
    valid_queries: int
    """Queries with a right answer in the gallery they may see; the others count nowhere."""


def rank(
    distances: NDArray[np.floating],
    query_ids: ArrayLike,
    gallery_ids: ArrayLike,
    query_cameras: ArrayLike,
    gallery_cameras: ArrayLike,
    *,
    rule: Rule,
) -> Ranking:
    """Rank the gallery for every query; equal distances keep the gallery's order.

    Args:
        distances: `(Q, G)`, smaller is closer.
        query_ids: `(Q,)` integers; `gallery_ids`, `(G,)`, likewise.
        gallery_ids: see `query_ids`.
        query_cameras: `(Q,)` integers; `gallery_cameras`, `(G,)`, likewise.
        gallery_cameras: see `query_cameras`.
        rule: "regdb": every gallery picture is seen and counts in CMC. "sysu": a query of camera 3 does not see
            camera 2 (the same room), and CMC counts each identity once, by its first picture. "llcm": a query does not
            see pictures of its own identity by its own camera number, CMC as "sysu".

    Raises:
        ValueError: the shapes disagree, a distance is not a number, or no query has a right answer to find.
    """
    q_ids, g_ids = np.asarray(query_ids), np.asarray(gallery_ids)
    q_cameras, g_cameras = np.asarray(query_cameras), np.asarray(gallery_cameras)
    if distances.shape != (len(q_ids), len(g_ids)) or len(q_ids) != len(q_cameras) or len(g_ids) != len(g_cameras):
        raise ValueError(
            f"distances {distances.shape} do not match {len(q_ids)} query and {len(g_ids)} gallery identities with "
            f"{len(q_cameras)} and {len(g_cameras)} cameras"
        )
    if np.isnan(distances).any():
        raise ValueError("a distance is not a number (NaN); the embeddings are broken")
    hidden = _hidden(q_ids, g_ids, q_cameras, g_cameras, rule)
    # Hidden pictures go to the end of the order; they are no hits there, so every count before them stays right.
    order = np.argsort(np.where(hidden, np.inf, distances.astype(np.float64)), axis=1, kind="stable")
    ranked_ids = g_ids[order]
    hits = (ranked_ids == q_ids[:, None]) & ~np.take_along_axis(hidden, order, axis=1)
    valid = hits.any(axis=1)
    if not valid.any():
        raise ValueError("no query has a picture of its identity in the gallery it may see")
    hits, ranked_ids = hits[valid], ranked_ids[valid]

    found = hits.cumsum(axis=1)
    relevant = found[:, -1]
    positions = np.arange(1, hits.shape[1] + 1)
    average_precision = (found / positions * hits).sum(axis=1) / relevant
    last = positions[-1] - hits[:, ::-1].argmax(axis=1)
    first_hit = hits.argmax(axis=1) if rule == "regdb" else _identities_before(hits, ranked_ids)
    cmc = (first_hit[:, None] < np.arange(1, RANKS + 1)).mean(axis=0)
    return Ranking(cmc, float(average_precision.mean()), float((relevant / last).mean()), int(valid.sum()))


def _hidden(
    query_ids: NDArray[np.generic],
    gallery_ids: NDArray[np.generic],
    query_cameras: NDArray[np.generic],
    gallery_cameras: NDArray[np.generic],
    rule: Rule,
) -> NDArray[np.bool_]:
    """`(Q, G)`: the pictures that the rule removes from a query's gallery."""
    if rule == "sysu":
        return np.asarray((query_cameras[:, None] == 3) & (gallery_cameras == 2))
    if rule == "llcm":
        return np.asarray((query_ids[:, None] == gallery_ids) & (query_cameras[:, None] == gallery_cameras))
    if rule == "regdb":
        return np.zeros((len(query_ids), len(gallery_ids)), dtype=np.bool_)
    raise ValueError(f"rule {rule!r} is not one of regdb, sysu, llcm")


def _identities_before(hits: NDArray[np.bool_], ranked_ids: NDArray[np.generic]) -> NDArray[np.intp]:
    """`(Q,)`: how many different other identities come before each query's first hit."""
    return np.array(
        [len(np.unique(row[:first])) for row, first in zip(ranked_ids, hits.argmax(axis=1), strict=True)], dtype=np.intp
    )
