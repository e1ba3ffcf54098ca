"""Centres of identities in either modality. Shapes: B rows, D features, P identities in the batch."""

from __future__ import annotations

import torch
from torch import Tensor


def modality_centres(features: Tensor, identities: Tensor, modalities: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of each identity's features in each modality, in float32, and which identity each row belongs to.

    Args:
        features: `(B, D)`.
        identities: `(B,)` integers, not necessarily contiguous.
        modalities: `(B,)`, 0 visible, 1 thermal; each identity must occur in both.

    Returns:
        `(2, P, D)` centres, visible first, identities ascending, and `(B,)` the identity's place among them.

    Raises:
        ValueError: an identity is seen in one modality only.
    """
    unique, label = torch.unique(identities, return_inverse=True)
    count = len(unique)
    belongs = (label + count * modalities) == torch.arange(2 * count, device=features.device).unsqueeze(1)
    sizes = belongs.sum(1, keepdim=True)
    if not bool(sizes.all()):
        raise ValueError("every identity of the batch must occur in both modalities")
    with torch.autocast(features.device.type, enabled=False):
        centres = (belongs.float() / sizes) @ features.float()
    return centres.unflatten(0, (2, count)), label


def distances(features: Tensor) -> Tensor:
    """Euclidean distances of all pairs, `(B, D) -> (B, B)`, in float32.

    Not by matrix product: its rounding is as large as the distance between close features becomes.
    """
    with torch.autocast(features.device.type, enabled=False):
        wide = features.float()
        return torch.cdist(wide, wide, compute_mode="donot_use_mm_for_euclid_dist")
