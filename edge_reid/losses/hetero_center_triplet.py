"""Hetero-center triplet loss (Liu et al., TMM 2020). Shapes: B rows, D features, P identities in the batch."""

from __future__ import annotations

import torch
from torch import Tensor

from edge_reid.losses.centres import distances, modality_centres


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
    centres, _ = modality_centres(features, identities, modalities)
    count = centres.shape[1]
    apart = distances(centres.flatten(0, 1))
    positive = torch.cat([apart.diagonal(count), apart.diagonal(-count)])
    same = torch.eye(count, dtype=torch.bool, device=features.device).repeat(2, 2)
    negative = apart.masked_fill(same, torch.inf).amin(1)
    return (margin + positive - negative).clamp(min=0).mean()
