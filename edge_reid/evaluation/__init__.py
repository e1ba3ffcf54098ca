"""Ranking, protocols, baselines and ranking sheets: numpy and OpenCV, never torch."""

from edge_reid.evaluation.extract import extract
from edge_reid.evaluation.metrics import Ranking, Rule, rank
from edge_reid.evaluation.protocols import Embedded, Evaluation, both_directions, single_shot

__all__ = [
    "Embedded",
    "Evaluation",
    "Ranking",
    "Rule",
    "both_directions",
    "extract",
    "rank",
    "single_shot",
]
