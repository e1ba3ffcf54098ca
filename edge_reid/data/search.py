"""A search: whom one looks for, in which pictures, under which rule. Data sets make them, the evaluation ranks them.

Shapes: Q queries, P pictures that galleries are drawn from.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_reid.types import Modality, Sample

Rule = Literal["regdb", "sysu", "llcm"]
"""Which pictures a query may see and how CMC counts: see `edge_reid.evaluation.rank`."""

TRIALS = 10
"""Galleries are drawn so often, and the results averaged, in all published protocols."""


@dataclass(frozen=True)
class Trial:
    """The queries and the gallery of one trial, as rows of the search's `query` and `pool`."""

    queries: NDArray[np.intp]
    gallery: NDArray[np.intp]


@dataclass(frozen=True)
class Search:
    """One row of a results table."""

    query: Sequence[Sample]
    """`(Q,)` of one modality."""
    pool: Sequence[Sample]
    """`(P,)` of the other modality."""
    trials: Sequence[Trial]
    rule: Rule
    direction: str
    """Its name in the table."""
    protocol: str
    """Data set, mode, direction, how the gallery is drawn, shots and trials, in words."""

    @property
    def modalities(self) -> tuple[Modality, Modality]:
        """Of the queries and of the gallery."""
        return self.query[0].modality, self.pool[0].modality


def one_of_each(samples: Sequence[Sample], seed: int) -> NDArray[np.intp]:
    """Rows of one picture per identity and camera, as the published code draws them (SYSU "ye", LLCM).

    Python's generator is seeded with `seed`; identities ascending, within them cameras ascending, within those file
    names ascending, and one `random.choice` for each.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for row, sample in enumerate(samples):
        groups.setdefault((sample.identity, sample.camera), []).append(row)
    draw = random.Random(seed)
    chosen = []
    for key in sorted(groups):
        chosen.append(draw.choice(sorted(groups[key], key=lambda row: samples[row].path.name)))
    return np.array(chosen, dtype=np.intp)


def one_per_identity(samples: Sequence[Sample], trial: int) -> NDArray[np.intp]:
    """Rows of one random picture per identity, ascending: the single-shot gallery of a folder of one's own."""
    identities = np.array([sample.identity for sample in samples])
    draw = np.random.default_rng((0, trial))
    return np.array([draw.choice(np.flatnonzero(identities == identity)) for identity in np.unique(identities)])


def single_shot_search(
    query: Sequence[Sample], pool: Sequence[Sample], *, rule: Rule, trials: int, data: str
) -> Search:
    """All `query` pictures against one random picture per identity; trial t draws with the seed (0, t)."""
    galleries = [one_per_identity(pool, trial) for trial in range(trials)]
    direction = f"{query[0].modality} -> {pool[0].modality}"
    protocol = (
        f"{data}, {direction}, {len(query)} queries, gallery of one random picture per "
        f"identity ({len(galleries[0])} identities, single-shot), {trials} trials (seed 0), rule {rule}"
    )
    return Search(query, pool, [Trial(every(query), gallery) for gallery in galleries], rule, direction, protocol)


def every(samples: Sequence[Sample]) -> NDArray[np.intp]:
    """All rows."""
    return np.arange(len(samples), dtype=np.intp)
