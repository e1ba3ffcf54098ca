"""Which pictures make a step: some identities, each with as many visible as thermal pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_reid.errors import UserError
from edge_reid.types import MODALITIES, Sample


@dataclass(frozen=True)
class CrossModalitySampler:
    """Steps of P identities x K pictures of either modality. The plan of an epoch depends on (seed, epoch) only."""

    groups: tuple[tuple[NDArray[np.intp], NDArray[np.intp]], ...]
    """Per identity the indices of its visible and of its thermal pictures."""
    identities_per_step: int
    pictures_per_identity: int
    steps_per_epoch: int
    seed: int

    def plan(self, epoch: int) -> NDArray[np.intp]:
        """Picture indices `(steps, 2, P * K)`: visible, thermal; row i of both halves is the same identity.

        Every identity is drawn once before any is drawn again (but for a remainder smaller than P). One with fewer
        than K pictures repeats them.
        """
        random = np.random.default_rng((self.seed, epoch))
        count, people = self.pictures_per_identity, self.identities_per_step
        steps: list[list[list[NDArray[np.intp]]]] = []
        while len(steps) < self.steps_per_epoch:
            order = random.permutation(len(self.groups))
            for start in range(0, len(order) - people + 1, people):
                chosen = [self.groups[i] for i in order[start : start + people]]
                steps.append([[np.resize(random.permutation(g[half]), count) for g in chosen] for half in range(2)])
        return np.array(steps[: self.steps_per_epoch]).reshape(self.steps_per_epoch, 2, people * count)


def build_sampler(
    samples: Sequence[Sample],
    *,
    identities_per_step: int,
    pictures_per_identity: int,
    steps_per_epoch: int | None,
    seed: int,
) -> CrossModalitySampler:
    """A sampler of the identities that have pictures in both modalities; the others are never drawn.

    Args:
        samples: the pictures that the plans' indices count.
        identities_per_step: P.
        pictures_per_identity: K, per modality.
        steps_per_epoch: None for as many steps as draw as many pictures as the larger modality has.
        seed: of all epochs.

    Raises:
        UserError: fewer than P identities have pictures in both modalities.
    """
    indices: dict[int, tuple[list[int], list[int]]] = {}
    for index, sample in enumerate(samples):
        indices.setdefault(sample.identity, ([], []))[MODALITIES.index(sample.modality)].append(index)
    groups = tuple((np.array(v), np.array(t)) for _, (v, t) in sorted(indices.items()) if v and t)
    if len(groups) < identities_per_step:
        raise UserError(
            f"{len(groups)} training identities have visible and thermal pictures, a step needs {identities_per_step}; "
            "add people or lower --identities"
        )
    if steps_per_epoch is None:
        largest = max(sum(len(group[half]) for group in groups) for half in range(2))
        steps_per_epoch = max(1, largest // (identities_per_step * pictures_per_identity))
    return CrossModalitySampler(groups, identities_per_step, pictures_per_identity, steps_per_epoch, seed)
