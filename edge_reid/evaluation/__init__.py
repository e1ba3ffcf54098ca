"""Ranking, protocols, baselines and ranking sheets: numpy and OpenCV, never torch."""

from edge_reid.data.search import Rule
from edge_reid.evaluation.extract import extract
from edge_reid.evaluation.metrics import Ranking, rank
from edge_reid.evaluation.protocols import Embedded, Evaluation, answer, both_directions, evaluate, single_shot

__all__ = [
    "Embedded",
    "Evaluation",
    "Ranking",
    "Rule",
    "answer",
    "both_directions",
    "evaluate",
    "extract",
    "rank",
    "single_shot",
]
