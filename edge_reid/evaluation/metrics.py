"""CMC, mAP and mINP under the rules of the published protocols.

Shapes: Q queries, G gallery pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_reid.data.search import Rule
from edge_reid.errors import UserError

RANKS = 20

BLOCK = 1 << 24
"""Distances ranked at a time: 128 MiB of them, and a few times as much beside."""


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
        ValueError: the shapes disagree, a distance is not finite, or no query has a right answer to find.
    """
    sides = _sides(query_ids, gallery_ids, query_cameras, gallery_cameras, rule)
    if distances.shape != (len(sides.query_ids), len(sides.gallery_ids)):
        raise ValueError(
            f"distances {distances.shape} do not match {len(sides.query_ids)} query and {len(sides.gallery_ids)} "
            "gallery identities"
        )
    return _rank(lambda rows: distances[rows], sides)


def rank_embeddings(
    query: NDArray[np.floating],
    gallery: NDArray[np.floating],
    query_ids: ArrayLike,
    gallery_ids: ArrayLike,
    query_cameras: ArrayLike,
    gallery_cameras: ArrayLike,
    *,
    rule: Rule,
) -> Ranking:
    """As `rank`, by the cosine of unit vectors `(Q, D)` and `(G, D)`, whose distances need never be in memory at once.

    Raises:
        ValueError: as `rank`.
    """
    sides = _sides(query_ids, gallery_ids, query_cameras, gallery_cameras, rule)
    if (len(query), len(gallery)) != (len(sides.query_ids), len(sides.gallery_ids)):
        raise ValueError(
            f"{len(query)} query and {len(gallery)} gallery embeddings do not match {len(sides.query_ids)} and "
            f"{len(sides.gallery_ids)} identities"
        )
    return _rank(lambda rows: -(query[rows] @ gallery.T), sides)


@dataclass(frozen=True)
class _Sides:
    """Whose pictures the rows and columns are, by which camera, and what a query may not see."""

    query_ids: NDArray[np.generic]
    gallery_ids: NDArray[np.generic]
    query_cameras: NDArray[np.generic]
    gallery_cameras: NDArray[np.generic]
    rule: Rule

    def __post_init__(self) -> None:
        if len(self.query_ids) != len(self.query_cameras) or len(self.gallery_ids) != len(self.gallery_cameras):
            raise ValueError(
                f"{len(self.query_ids)} query and {len(self.gallery_ids)} gallery identities do not match "
                f"{len(self.query_cameras)} and {len(self.gallery_cameras)} cameras"
            )

    def hidden(self, rows: slice) -> NDArray[np.bool_]:
        """`(q, G)`: the pictures that the rule removes from the galleries of these queries."""
        ids, cameras = self.query_ids[rows, None], self.query_cameras[rows, None]
        if self.rule == "sysu":
            return np.asarray((cameras == 3) & (self.gallery_cameras == 2))
        if self.rule == "llcm":
            return np.asarray((ids == self.gallery_ids) & (cameras == self.gallery_cameras))
        if self.rule == "regdb":
            return np.zeros((len(ids), len(self.gallery_ids)), dtype=np.bool_)
        raise ValueError(f"rule {self.rule!r} is not one of regdb, sysu, llcm")


def _sides(
    query_ids: ArrayLike, gallery_ids: ArrayLike, query_cameras: ArrayLike, gallery_cameras: ArrayLike, rule: Rule
) -> _Sides:
    return _Sides(
        np.asarray(query_ids), np.asarray(gallery_ids), np.asarray(query_cameras), np.asarray(gallery_cameras), rule
    )


def _rank(distances_of: Callable[[slice], NDArray[np.floating]], sides: _Sides) -> Ranking:
    """Rank in blocks of queries."""
    step = max(1, BLOCK // max(1, len(sides.gallery_ids)))
    blocks = []
    for start in range(0, len(sides.query_ids), step):
        rows = slice(start, start + step)
        distances = distances_of(rows)
        if not np.isfinite(distances).all():
            raise ValueError("a distance is infinite or not a number (NaN); the embeddings are broken")
        # Hidden pictures lie infinitely far away: they come before nobody and are found by nobody.
        seen = np.where(sides.hidden(rows), np.inf, distances.astype(np.float64))
        ids = sides.query_ids[rows]
        places = _places(seen, ids, sides.gallery_ids)
        valid = np.isfinite(places[:, 0])
        places, seen, ids = places[valid], seen[valid], ids[valid]
        found = np.isfinite(places)
        relevant = found.sum(axis=1)
        others = places[:, 0] - 1 if sides.rule == "regdb" else _identities_before(seen, ids, sides.gallery_ids)
        precision = (np.arange(1, places.shape[1] + 1) / places).sum(axis=1) / relevant
        blocks.append(np.stack([others, precision, relevant / np.where(found, places, 0.0).max(axis=1, initial=0.0)]))
    others, average_precision, penalty = np.concatenate(blocks, axis=1) if blocks else np.empty((3, 0))
    if not len(others):
        raise UserError(
            "no query has a picture of its identity in the gallery it may see; the test pictures of both modalities "
            "must show the same people"
        )
    cmc = (others[:, None] < np.arange(1, RANKS + 1)).mean(axis=0)
    return Ranking(cmc, float(average_precision.mean()), float(penalty.mean()), len(others))


def _places(
    seen: NDArray[np.float64], query_ids: NDArray[np.generic], gallery_ids: NDArray[np.generic]
) -> NDArray[np.float64]:
    """`(Q, R)`: the places 1, 2, ... of each query's right answers in ascending order, infinite where there are fewer.

    A place is one more than the number of pictures before it; to count those, nothing has to be sorted.
    """
    most = int(np.unique(gallery_ids, return_counts=True)[1].max())
    places = np.full((len(query_ids), most), np.inf)
    for identity in np.intersect1d(query_ids, gallery_ids):
        rows, columns = np.flatnonzero(query_ids == identity), np.flatnonzero(gallery_ids == identity)
        mine = seen[rows]
        for answer, column in enumerate(columns):
            distance = mine[:, column, None]
            before = (mine < distance).sum(axis=1) + (mine[:, :column] == distance).sum(axis=1)
            places[rows, answer] = np.where(np.isfinite(distance[:, 0]), before + 1, np.inf)
    return np.sort(places, axis=1)


def _identities_before(
    seen: NDArray[np.float64], query_ids: NDArray[np.generic], gallery_ids: NDArray[np.generic]
) -> NDArray[np.intp]:
    """`(Q,)`: how many other identities have a picture before each query's first right answer."""
    order = np.argsort(gallery_ids, kind="stable")
    identities, starts = np.unique(gallery_ids[order], return_index=True)
    nearest = np.minimum.reduceat(seen[:, order], starts, axis=1)
    own = np.searchsorted(identities, query_ids)
    distance = nearest[np.arange(len(own)), own]
    before = (nearest < distance[:, None]).sum(axis=1)
    # identities that are exactly as near come before it if their picture does
    for row in np.flatnonzero((nearest == distance[:, None]).sum(axis=1) > 1):
        equal = np.flatnonzero(seen[row] == distance[row])
        first = equal[gallery_ids[equal] == query_ids[row]][0]
        rivals = np.searchsorted(identities, np.unique(gallery_ids[equal[equal < first]]))
        before[row] += int((nearest[row, rivals] == distance[row]).sum())
    return np.asarray(before, dtype=np.intp)
