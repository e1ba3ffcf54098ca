"""Cross-entropy over the training identities. Shapes: B rows, N features per row, I identities."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def identity_cross_entropy(logits: Tensor, identities: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of `(B, I)` or, over all features, `(B, N, I)` logits with `(B,)` contiguous labels.

    With smoothing s a target is `1 - s + s / I` for the identity and `s / I` for each other one.
    """
    if logits.dim() == 3:
        identities = identities.repeat_interleave(logits.shape[1])
        logits = logits.flatten(0, 1)
    return F.cross_entropy(logits.float(), identities, label_smoothing=smoothing)
