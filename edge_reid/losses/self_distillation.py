"""Self-distillation from the deepest classifier to a shallow student. Shapes: B rows, I identities, D features."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from edge_reid.losses.identity_cross_entropy import identity_cross_entropy


def self_distillation(
    student: tuple[Tensor, Tensor],
    teacher: tuple[Tensor, Tensor],
    identities: Tensor,
    *,
    alpha: float = 0.3,
    beta: float = 0.5,
    temperature: float = 3.0,
    ramp: float = 1.0,
) -> Tensor:
    """`(1 - alpha) CE + ramp (alpha T^2 KL(teacher || student) + beta (1 - cos(student, teacher)))`, batch mean.

    The teacher gets no gradient.

    Args:
        student: logits `(B, I)` and feature `(B, D)` of a shallow student.
        teacher: the same of the deepest classifier.
        identities: `(B,)` contiguous labels.
        alpha: share of what the teacher says against what the label says.
        beta: weight of the feature term.
        temperature: T, which softens both distributions.
        ramp: 0..1, holds the teacher back while it knows nothing.
    """
    logits, feature = student[0].float(), student[1].float()
    teacher_logits, teacher_feature = teacher[0].detach().float(), teacher[1].detach().float()
    expected = F.log_softmax(teacher_logits / temperature, dim=1)
    said = F.log_softmax(logits / temperature, dim=1)
    divergence = F.kl_div(said, expected, reduction="batchmean", log_target=True) * temperature**2
    distance = 1 - F.cosine_similarity(feature, teacher_feature, dim=1).mean()
    return (1 - alpha) * identity_cross_entropy(logits, identities) + ramp * (alpha * divergence + beta * distance)
