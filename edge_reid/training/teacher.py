"""A finished network that teaches the one in training: its embeddings, and how it ranks a batch by them.

Shapes: B pictures of either modality, D the embedding.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from edge_reid import losses
from edge_reid.models.output import TrainingOutput
from edge_reid.models.two_stream import TwoStream
from edge_reid.training.checkpoint import load_model

EMBEDDING_WEIGHT, RANKING_WEIGHT = 100.0, 10.0
"""Ten times what the recipe's own losses weigh: their classifiers are new and know nothing when a teacher is there."""


class NetworkTeacher:
    """Embeds the pictures of a step as the student does, but without learning."""

    def __init__(self, path: Path, device: torch.device) -> None:
        """Load the network.

        Raises:
            UserError: see `load_model`.
        """
        self.network = load_model(path).model.to(device).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def embed(self, visible: Tensor, thermal: Tensor) -> Tensor:
        """Normalised pictures of either modality `(B, 3, H, W) -> (2B, D)`, visible first."""
        head = self.network.head
        return head.embedding(head(self.network.joint_maps(visible, thermal)[-1]))


def taught(network: TwoStream, output: TrainingOutput, teacher: Tensor) -> dict[str, tuple[float, Tensor]]:
    """Weight and value of what the teacher's embeddings `(2B, D)` ask of a training output."""
    distance, ranking = losses.embedding_distillation(network.head.embedding(output.head), teacher)
    return {"teacher": (EMBEDDING_WEIGHT, distance), "teacher_ranking": (RANKING_WEIGHT, ranking)}
