"""Guidance: teachers that see more than the student does, weighted without parameters.

From what the abstract of MMFF-SD says (10.3724/SP.J.1089.2024.19886) and related work; the formulas are this project's.
Shapes: B rows, T teachers, I identities, D features.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Weighing = Literal["ratio", "entropy", "gap", "fixed"]


class Teacher(NamedTuple):
    """What one teacher says of each row."""

    logits: Tensor
    """`(B, I)`"""
    feature: Tensor
    """`(B, D)`"""
    valid: Tensor
    """`(B,)` bool: it says something of this row."""


def guidance(
    logits: Tensor,
    feature: Tensor,
    teachers: list[Teacher],
    identities: Tensor,
    *,
    temperature: float = 3.0,
    weighing: Weighing = "ratio",
) -> Tensor:
    """Mean over the rows of `sum_t w_t (T^2 KL(teacher_t || student) + 1 - cos(student, teacher_t))`.

    The teachers get no gradient. One that errs about a row, or says nothing of it, has the weight 0 there.

    Args:
        logits: `(B, I)` of the student.
        feature: `(B, D)` of the student.
        teachers: one or more.
        identities: `(B,)` contiguous labels.
        temperature: T, which softens the distributions.
        weighing: see `teacher_weights`.
    """
    if not teachers:
        raise ValueError("guidance needs a teacher")
    said = F.log_softmax(logits.float() / temperature, dim=1)
    costs = []
    for teacher in teachers:
        expected = F.log_softmax(teacher.logits.detach().float() / temperature, dim=1)
        divergence = F.kl_div(said, expected, reduction="none", log_target=True).sum(1) * temperature**2
        distance = 1 - F.cosine_similarity(feature.float(), teacher.feature.detach().float(), dim=1)
        costs.append(divergence + distance)
    weights = teacher_weights(logits, teachers, identities, weighing)
    return (weights * torch.stack(costs, dim=1)).sum(1).mean()


def teacher_weights(logits: Tensor, teachers: list[Teacher], identities: Tensor, weighing: Weighing) -> Tensor:
    """How much each teacher counts for each row, `(B, T)`, no gradient.

    ratio: its probability of the true identity, over the sum of the valid teachers'. entropy: its uncertainty, over the
    sum of theirs. gap: how far its log-probability of the true identity is above the student's, 1 - exp(-gap), from 0
    to 1 each. fixed: as much as every other valid teacher. Except for gap the valid teachers' weights add up to 1
    before those that err are set to 0.
    """
    known = torch.stack([teacher.logits.detach().float() for teacher in teachers], dim=1).log_softmax(2)
    valid = torch.stack([teacher.valid for teacher in teachers], dim=1)
    right = valid & (known.argmax(2) == identities.unsqueeze(1))
    place = identities.reshape(-1, 1, 1).expand(-1, len(teachers), 1)
    truth = known.gather(2, place).squeeze(2)
    if weighing == "gap":
        own = logits.detach().float().log_softmax(1).gather(1, identities.unsqueeze(1))
        return (1 - torch.exp(-(truth - own).clamp(min=0))) * right
    strengths = {
        "ratio": truth.exp(),
        "entropy": -(known.exp() * known).sum(2),
        "fixed": torch.ones_like(truth),
    }[weighing]
    strengths = strengths * valid
    return strengths / strengths.sum(1, keepdim=True).clamp(min=1e-12) * right
