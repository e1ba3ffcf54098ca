"""The controls `baseline` and `hctri`: what the four systems are compared with.

Facts of both are read from public code (AGW's baseline without non-local blocks; hetero-center triplet, Liu et al., TMM
2020); the implementation is this project's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from edge_reid.recipes.base import Recipe


@dataclass(frozen=True, kw_only=True)
class Baseline(Recipe):
    """Two streams with a stem each, one global feature, identity and weighted triplet loss."""

    metric: Literal["hetero_center", "hard", "weighted"] = "weighted"


@dataclass(frozen=True, kw_only=True)
class HcTri(Recipe):
    """Six stripes with a layer each, identity and hetero-center triplet loss, of each stripe and of all together."""

    epochs: ClassVar[int] = 61
    warm_up: float = 10 / 61
    drops: tuple[float, float] = (20 / 61, 50 / 61)
    share_from: int = 2
    whole: bool = False
    granularities: tuple[int, ...] = (6,)
    part_dim: int = 256
    own_layers: bool = True
    metric_of_parts: Literal["each", "joined", "both"] = "both"
    identities: int = 6
    pictures: int = 8
