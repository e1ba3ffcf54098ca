"""Triplet losses over all pictures of a batch, whatever their modality. Shapes: B rows, D features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edge_reid.losses.centres import distances


def hard_triplet(features: Tensor, identities: Tensor, margin: float = 0.3) -> Tensor:
    """Mean over the rows of `[margin + d(farthest same identity) - d(nearest other identity)]_+` (Hermans et al. 2017).

    Args:
        features: `(B, D)`, of two identities or more; Euclidean distances between features as they are.
        identities: `(B,)` integers.
        margin: in the unit of the features.
    """
    same = identities.unsqueeze(0) == identities.unsqueeze(1)
    apart = distances(features)
    positive = apart.masked_fill(~same, 0).amax(1)
    negative = apart.masked_fill(same, torch.inf).amin(1)
    return (margin + positive - negative).clamp(min=0).mean()


def weighted_triplet(features: Tensor, identities: Tensor, *, as_published: bool = False) -> Tensor:
    """Mean over the rows of `log(1 + exp(sum w_p d_p - sum w_n d_n))`, the weighted regularised triplet of AGW.

    Far positives and near negatives weigh more: w_p is the softmax of d over the same identity (the row itself
    included), w_n that of -d over the others.

    Args:
        features: `(B, D)`, of two identities or more; Euclidean distances between features as they are.
        identities: `(B,)` integers.
        as_published: compute the weights as the published code does. Its softmax loses the negatives' weights to
            rounding once they are farther than about 14, and then pushes nobody away; only for comparisons with it.
    """
    same = identities.unsqueeze(0) == identities.unsqueeze(1)
    apart = distances(features)
    weigh = _published_weights if as_published else _weights
    positive = (weigh(apart, same) * apart).sum(1)
    negative = (weigh(-apart, ~same) * apart).sum(1)
    return F.softplus(positive - negative).mean()


def _weights(values: Tensor, mask: Tensor) -> Tensor:
    return values.masked_fill(~mask, -torch.inf).softmax(1)


def _published_weights(values: Tensor, mask: Tensor) -> Tensor:
    largest = (values * mask).amax(1, keepdim=True)  # 0 for negatives, however far: the terms outside the mask are 0
    raised = torch.exp(values - largest) * mask
    return raised / (raised.sum(1, keepdim=True) + 1e-6)
