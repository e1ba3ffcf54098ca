"""Which part of a person a place of the map shows. Shapes: B rows, K classes, h x w the map, H x W the label maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edge_reid.types import IGNORE


def parsing(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of `(B, K, h, w)` logits with the labels `(B, H, W)` of the map's cells.

    A cell has the label that covers most of it, the smaller one of two that cover as much.
    0 when every label is IGNORE; smoothing as in `identity_cross_entropy`.
    """
    _, classes, height, width = logits.shape
    targets = covering(labels, classes, (height, width))
    total = F.cross_entropy(logits.float(), targets, ignore_index=IGNORE, reduction="sum", label_smoothing=smoothing)
    return total / (targets != IGNORE).sum().clamp(min=1)


def covering(labels: Tensor, classes: int, size: tuple[int, int]) -> Tensor:
    """The label that covers most of each cell of a map of `size` = (h, w): `(B, h, w)` int64."""
    known = [*range(classes), IGNORE]
    shares = torch.stack([F.adaptive_avg_pool2d((labels == label).float(), size) for label in known])
    return torch.tensor(known, device=labels.device)[shares.argmax(0)]
