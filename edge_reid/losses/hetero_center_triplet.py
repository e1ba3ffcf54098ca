"""Hetero-center triplet loss (Liu et al., TMM 2020). Shapes: B rows, D features, P identities in the batch."""

from __future__ import annotations

import torch
from torch import Tensor


def hetero_center_triplet(features: Tensor, identities: Tensor, modalities: Tensor, margin: float = 0.3) -> Tensor:
    """Mean over the 2P centres of `[margin + d(centre, its twin) - d(centre, nearest other identity)]_+`.

    A centre is the mean of one identity's features in one modality, its twin the same identity's in the other; other
    identities count in both modalities. Distances are Euclidean, between features as they are.

    Args:
        features: `(B, D)`.
        identities: `(B,)` integers, not necessarily contiguous.
        modalities: `(B,)`, 0 visible, 1 thermal; each identity must occur in both.
        margin: in the unit of the features.
    """
    unique, label = torch.unique(identities, return_inverse=True)
    count = len(unique)
    belongs = (label + count * modalities) == torch.arange(2 * count, device=features.device).unsqueeze(1)
    sizes = belongs.sum(1, keepdim=True)
    if not bool(sizes.all()):
        raise ValueError("every identity of the batch must occur in both modalities")
    with torch.autocast(features.device.type, enabled=False):
        centres = (belongs.float() / sizes) @ features.float()
        # Not by matrix product: its rounding is as large as the distance between a centre and its twin becomes.
        distances = torch.cdist(centres, centres, compute_mode="donot_use_mm_for_euclid_dist")
    positive = torch.cat([distances.diagonal(count), distances.diagonal(-count)])
    same = torch.eye(count, dtype=torch.bool, device=features.device).repeat(2, 2)
    negative = distances.masked_fill(same, torch.inf).amin(1)
    return (margin + positive - negative).clamp(min=0).mean()
