"""Couples of tracks, genuine when both are one person, else impostors.

The app compares pooled embeddings, so pictures of one person by one camera are pooled to tracks here, too.

Shapes: N pictures or tracks, R rows that ask, C columns that answer, D the embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_reid.evaluation.protocols import Embedded
from edge_reid.matching_rule import center, unit


@dataclass(frozen=True)
class Seen:
    """Pictures or tracks of one modality: who `(N,)`, by which camera `(N,)`, and the unit vectors `(N, D)`."""

    identities: NDArray[np.int64]
    cameras: NDArray[np.int64]
    vectors: NDArray[np.float32]

    @classmethod
    def of(cls, embedded: Embedded) -> Seen:
        """Pictures by person, camera and path, so that the order in which they came does not matter."""
        keys = [(sample.identity, sample.camera, str(sample.path)) for sample in embedded.samples]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        return cls(embedded.identities()[order], embedded.cameras()[order], embedded.embeddings[order])

    def only(self, people: NDArray[np.int64]) -> Seen:
        """Those of these people."""
        kept = np.isin(self.identities, people)
        return Seen(self.identities[kept], self.cameras[kept], self.vectors[kept])

    def centered(self, mean: NDArray[np.float32]) -> Seen:
        """Less a mean `(D,)`, unit norm again."""
        return Seen(self.identities, self.cameras, center(self.vectors, mean))

    def pooled(self, crops: int) -> Seen:
        """Tracks of `crops` successive pictures of one person by one camera; of fewer where there are no more."""
        _, starts = np.unique(np.stack([self.identities, self.cameras]), axis=1, return_index=True)
        groups = np.split(np.arange(len(self.identities)), np.sort(starts)[1:])
        tracks = [group[i * crops : (i + 1) * crops] for group in groups for i in range(max(1, len(group) // crops))]
        first = [track[0] for track in tracks]
        vectors = unit(np.stack([self.vectors[track].mean(axis=0) for track in tracks]))
        return Seen(self.identities[first], self.cameras[first], vectors)


@dataclass(frozen=True)
class Comparison:
    """The cosines `(R, C)` of tracks with tracks: which couples count, and which are genuine."""

    rows: NDArray[np.int64]
    """`(R,)` who asks."""
    columns: NDArray[np.int64]
    """`(C,)` who answers."""
    scores: NDArray[np.float32]
    genuine: NDArray[np.bool_]
    impostor: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Seen, columns: Seen) -> Comparison:
        """Every track of one modality with every one of the other; of tracks with themselves, see below.

        Within a modality, tracks of one camera at different moments: who comes back to a device is seen by the same
        camera. Where that leaves half of the people or more without a couple, tracks of all cameras.
        """
        same = np.equal.outer(rows.identities, columns.identities)
        counted = np.ones_like(same)
        if rows is columns:
            np.fill_diagonal(counted, False)
            one_camera = counted & np.equal.outer(rows.cameras, columns.cameras)
            back = np.unique(rows.identities[(one_camera & same).any(axis=1)])
            if 2 * len(back) > len(np.unique(rows.identities)):
                counted = one_camera
        scores = rows.vectors @ columns.vectors.T
        return cls(rows.identities, columns.identities, scores, counted & same, counted & ~same)

    @property
    def people(self) -> int:
        """Who make genuine couples."""
        return len(np.unique(self.rows[self.genuine.any(axis=1)]))

    @property
    def pairs(self) -> int:
        """Couples of two people whose tracks were compared."""
        people = np.unique(np.concatenate([self.rows, self.columns]))
        asking, answering = np.nonzero(self.impostor)
        met = np.zeros((len(people), len(people)), dtype=bool)
        met[np.searchsorted(people, self.rows)[asking], np.searchsorted(people, self.columns)[answering]] = True
        return int(np.triu(met | met.T).sum())
