"""Cross-entropy over the training identities. Shapes: B rows, N features per row, I identities."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def identity_cross_entropy(
    logits: Tensor, identities: Tensor, smoothing: float = 0.0, *, weights: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy of `(B, I)` or, over all features, `(B, N, I)` logits with `(B,)` contiguous labels.

    With smoothing s a target is `1 - s + s / I` for the identity and `s / I` for each other one.

    Args:
        logits: of one feature per row or of several.
        identities: of the rows.
        smoothing: s.
        weights: `(B, N)` how much each feature of each row counts, all alike when None; 0 when none does.
    """
    if logits.dim() == 3:
        identities = identities.repeat_interleave(logits.shape[1])
        logits = logits.flatten(0, 1)
    if weights is None:
        return F.cross_entropy(logits.float(), identities, label_smoothing=smoothing)
    costs = F.cross_entropy(logits.float(), identities, label_smoothing=smoothing, reduction="none")
    return (costs * weights.flatten()).sum() / weights.sum().clamp(min=1e-12)
