"""Categorical attributes of a person (hat, sleeves, bag, ...). Shapes: B rows, A attributes, V_a values of one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

UNKNOWN = -1


def attribute_cross_entropy(logits: Sequence[Tensor], attributes: Tensor) -> Tensor:
    """Mean over the attributes of the mean cross-entropy over the rows that know them; 0 for one nobody knows.

    Args:
        logits: A tensors `(B, V_a)`.
        attributes: `(B, A)` integers, UNKNOWN where a row does not know the attribute.
    """
    losses = []
    for scores, values in zip(logits, attributes.unbind(1), strict=True):
        total = F.cross_entropy(scores.float(), values, ignore_index=UNKNOWN, reduction="sum")
        losses.append(total / (values != UNKNOWN).sum().clamp(min=1))
    return torch.stack(losses).mean()
