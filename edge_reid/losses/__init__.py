"""Losses as pure functions: tensors in, a scalar out, float32 inside, the same value for any order of the batch."""

from edge_reid.losses.attribute_cross_entropy import attribute_cross_entropy
from edge_reid.losses.center_alignment import center_alignment, center_contrast
from edge_reid.losses.division import division
from edge_reid.losses.embedding_distillation import embedding_distillation
from edge_reid.losses.guidance import Teacher, Weighing, guidance, teacher_weights
from edge_reid.losses.hetero_center_triplet import hetero_center_triplet
from edge_reid.losses.identity_center_mining import identity_center_mining
from edge_reid.losses.identity_cross_entropy import identity_cross_entropy
from edge_reid.losses.parsing import parsing
from edge_reid.losses.self_distillation import self_distillation
from edge_reid.losses.triplet import hard_triplet, weighted_triplet

__all__ = [
    "Teacher",
    "Weighing",
    "attribute_cross_entropy",
    "center_alignment",
    "center_contrast",
    "division",
    "embedding_distillation",
    "guidance",
    "hard_triplet",
    "hetero_center_triplet",
    "identity_center_mining",
    "identity_cross_entropy",
    "parsing",
    "self_distillation",
    "teacher_weights",
    "weighted_triplet",
]
