"""Identity-aware center mining: close the gap between the modalities where it is widest.

From what the abstract of CSCL says (10.1109/TMM.2024.3521843); the formula is this project's.
Shapes: B rows, D features, P identities in the batch.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from edge_reid.losses.centres import modality_centres


def identity_center_mining(
    features: Tensor, identities: Tensor, modalities: Tensor, temperature: float = 0.1
) -> Tensor:
    """Weighted mean over identities of `d = |visible centre - thermal centre|^2` of unit-length features.

    An identity's weight is the softmax of d / temperature, held fixed: those with the widest gap count most.

    Args:
        features: `(B, D)`, of any length.
        identities: `(B,)` integers.
        modalities: `(B,)`, 0 visible, 1 thermal; each identity must occur in both.
        temperature: small means that the hardest identity alone counts.
    """
    centres, _ = modality_centres(F.normalize(features.float(), dim=1), identities, modalities)
    gaps = (centres[0] - centres[1]).square().sum(1)
    return ((gaps.detach() / temperature).softmax(0) * gaps).sum()
