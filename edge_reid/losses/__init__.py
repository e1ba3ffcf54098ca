"""Losses as pure functions: tensors in, a scalar out, float32 inside, the same value for any order of the batch."""

from edge_reid.losses.attribute_cross_entropy import attribute_cross_entropy
from edge_reid.losses.hetero_center_triplet import hetero_center_triplet
from edge_reid.losses.identity_cross_entropy import identity_cross_entropy
from edge_reid.losses.parsing import parsing
from edge_reid.losses.self_distillation import self_distillation

__all__ = [
    "attribute_cross_entropy",
    "hetero_center_triplet",
    "identity_cross_entropy",
    "parsing",
    "self_distillation",
]
