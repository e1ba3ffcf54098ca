"""Distillation from one network's embeddings to another's. Shapes: B rows, D the embedding."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def embedding_distillation(student: Tensor, teacher: Tensor, *, temperature: float = 0.05) -> tuple[Tensor, Tensor]:
    """How far the student's embeddings are from the teacher's, and how differently they rank the batch.

    The teacher gets no gradient.

    Args:
        student: `(B, D)`, unit norm.
        teacher: `(B, D')`, unit norm.
        temperature: of the softmax over similarities.

    Returns:
        `1 - cos(student, teacher)`, batch mean, 0 where the sizes differ; and `KL(teacher || student)` of each
        picture's similarities to the other pictures of the batch, which are the logits of a search.
    """
    student, teacher = student.float(), teacher.detach().float()
    same = student.shape == teacher.shape
    distance = (1 - (student * teacher).sum(dim=1)).mean() if same else student.new_zeros(())
    others = ~torch.eye(len(student), dtype=torch.bool, device=student.device)
    logits, expected = (
        (each @ each.T / temperature)[others].reshape(len(each), -1).log_softmax(1) for each in (student, teacher)
    )
    return distance, F.kl_div(logits, expected, reduction="batchmean", log_target=True)
