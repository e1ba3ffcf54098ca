"""Which part of a person a place of the map shows. Shapes: B rows, K classes, h x w the map, H x W the label maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edge_reid.types import IGNORE


def parsing(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of `(B, K, h, w)` logits with the labels `(B, H, W)` at the centres of the map's cells.

    0 when every label is IGNORE; smoothing as in `identity_cross_entropy`.
    """
    rows, columns = (
        ((torch.arange(cells, device=labels.device) + 0.5) * pixels / cells).long()
        for cells, pixels in zip(logits.shape[2:], labels.shape[1:], strict=True)
    )
    targets = labels[:, rows][:, :, columns].long()
    total = F.cross_entropy(logits.float(), targets, ignore_index=IGNORE, reduction="sum", label_smoothing=smoothing)
    return total / (targets != IGNORE).sum().clamp(min=1)
