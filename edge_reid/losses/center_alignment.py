"""Center alignment: pictures to their identity's centre, and the identities' relations alike in both modalities.

From what the abstract of PSFL says (10.1007/s40747-023-01189-y); the formulas are this project's.
Shapes: B rows, D features, P identities in the batch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edge_reid.losses.centres import modality_centres


def center_alignment(
    features: Tensor,
    identities: Tensor,
    modalities: Tensor,
    *,
    relation_weight: float = 1.0,
    temperature: float = 0.1,
) -> Tensor:
    """`cluster + relation_weight * relation` on unit-length features; 0 where both modalities agree perfectly.

    `cluster` is the mean squared distance of a row to its identity's centre (the middle of its two modality centres)
    plus that between the two modality centres. `relation` compares whom an identity resembles: the softmax over the
    other identities of cos / temperature, in the visible and in the thermal modality, by Kullback-Leibler divergence
    in both directions, each time with the target held fixed.

    Args:
        features: `(B, D)`, of any length.
        identities: `(B,)` integers, three or more different ones for `relation` to say anything.
        modalities: `(B,)`, 0 visible, 1 thermal; each identity must occur in both.
        relation_weight: of the second term.
        temperature: of the resemblances.
    """
    unit = F.normalize(features.float(), dim=1)
    centres, label = modality_centres(unit, identities, modalities)
    middle = centres.mean(0)
    cluster = _square(unit - middle[label]) + _square(centres[0] - centres[1])
    count = len(middle)
    if count < 3:
        return cluster
    others = ~torch.eye(count, dtype=torch.bool, device=features.device)
    visible, thermal = (
        ((F.normalize(side, dim=1) @ F.normalize(side, dim=1).T) / temperature)[others]
        .reshape(count, count - 1)
        .log_softmax(1)
        for side in centres
    )
    relation = 0.5 * (_divergence(visible.detach(), thermal) + _divergence(thermal.detach(), visible))
    return cluster + relation_weight * relation


def center_contrast(features: Tensor, identities: Tensor, modalities: Tensor, temperature: float = 0.1) -> Tensor:
    """The other reading: each row picks its own identity among the other modality's centres (InfoNCE), batch mean.

    Args:
        features: `(B, D)`, of any length.
        identities: `(B,)` integers.
        modalities: `(B,)`, 0 visible, 1 thermal; each identity must occur in both.
        temperature: of the cosines.
    """
    unit = F.normalize(features.float(), dim=1)
    centres, label = modality_centres(unit, identities, modalities)
    foreign = centres.detach()[1 - modalities]
    scores = torch.einsum("bd,bpd->bp", unit, foreign) / temperature
    return F.cross_entropy(scores, label)


def _square(rows: Tensor) -> Tensor:
    return rows.square().sum(1).mean()


def _divergence(target: Tensor, said: Tensor) -> Tensor:
    return F.kl_div(said, target, reduction="batchmean", log_target=True)
