"""Exact search by cosine among the prototypes of one modality.

Shapes: R prototypes, N queries, D the embedding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_reid.gallery.base import Candidate

BLOCK = 32768
"""Rows of one matrix: adding never copies what is there. Smaller ones make the threads of a product wait for each other
more often, which on a busy machine is what a search takes its time for."""

CHUNK = 64
"""Rows whose best one is looked at first."""

MOST_OFF = 0.01
"""Of a unit vector's norm from 1."""


def is_unit(vector: NDArray[np.float32]) -> bool:
    """Whether the norm of `(D,)` is 1 and all of it finite."""
    return abs(float(np.sqrt(vector @ vector)) - 1.0) <= MOST_OFF


class Index:
    """Vectors by the number of their prototype."""

    def __init__(self, dimension: int) -> None:
        """Start empty, for vectors `(dimension,)`."""
        self._dimension = dimension
        self._blocks: list[NDArray[np.float32]] = []
        self._people = np.zeros(0, np.int64)
        self._ids: list[int] = []
        self._rows: dict[int, int] = {}

    def __len__(self) -> int:
        """R."""
        return len(self._ids)

    def add(self, prototype: int, person: int, vector: NDArray[np.float32]) -> None:
        """Append a row."""
        row = len(self._ids)
        if row == len(self._people):
            self._blocks.append(np.zeros((BLOCK, self._dimension), np.float32))
            self._people = np.append(self._people, np.zeros(BLOCK, np.int64))
        self._ids.append(prototype)
        self._rows[prototype] = row
        self._people[row] = person
        self._row(row)[:] = vector

    def remove(self, prototype: int) -> None:
        """Put the last row in the place of this one, and leave nothing of it in memory."""
        row, last = self._rows.pop(prototype), len(self._ids) - 1
        moved = self._ids.pop()
        if row != last:
            self._row(row)[:] = self._row(last)
            self._people[row] = self._people[last]
            self._ids[row] = moved
            self._rows[moved] = row
        self._row(last)[:] = 0.0

    def give(self, prototype: int, person: int) -> None:
        """Make a prototype someone else's."""
        self._people[self._rows[prototype]] = person

    def search(self, vectors: NDArray[np.float32], most: int) -> list[list[Candidate[int]]]:
        """The people of the nearest prototypes of each of the vectors `(N, D)`, best first, each of them once."""
        if len(self) == 0 or most < 1:
            return [[] for _ in vectors]
        scores = np.empty((len(self), len(vectors)), np.float32)
        for start in range(0, len(self), BLOCK):
            part = scores[start : start + BLOCK]
            np.matmul(self._blocks[start // BLOCK][: len(part)], vectors.T, out=part)
        best = np.maximum.reduceat(scores, np.arange(0, len(self), CHUNK), axis=0)
        people = self._people[: len(self)]
        return [_best(scores[:, query], best[:, query], people, most) for query in range(len(vectors))]

    def _row(self, row: int) -> NDArray[np.float32]:
        vector: NDArray[np.float32] = self._blocks[row // BLOCK][row % BLOCK]
        return vector


def _best(
    scores: NDArray[np.float32], best: NDArray[np.float32], people: NDArray[np.int64], most: int
) -> list[Candidate[int]]:
    """The people with the highest of the scores `(R,)`, whose chunks have at best `(R / CHUNK,)`."""
    taken = 4 * most
    while True:
        everything = taken >= len(best)
        # so many chunks hold a score as high, and so many rows at least
        rows = np.arange(len(scores)) if everything else np.flatnonzero(scores >= np.partition(best, -taken)[-taken])
        rows = rows[np.lexsort((people[rows], -scores[rows]))]
        found = dict.fromkeys(people[rows].tolist(), 0.0)
        if len(found) >= most or everything:
            break
        taken *= 4
    for row in rows[::-1]:
        found[int(people[row])] = float(scores[row])
    return [Candidate(person, score) for person, score in list(found.items())[:most]]
