"""Train-only: a classifier per modality, and the fusion of both modalities that they weigh.

From what the abstract of MMFF-SD says (10.3724/SP.J.1089.2024.19886) and related work; the formulas are this project's.
Shapes: B rows of a step, R = B / 2 of either modality, C the global feature's size, I identities.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_reid.models.output import Classify, TrainingOutput
from edge_reid.models.students import Classifiers

Fusion = Literal["attention", "mean"]


class FusionOutput(NamedTuple):
    """What the modality classifiers and the fusion say."""

    own_logits: Tensor
    """`(B, I)` of each row by its own modality's classifier."""
    logits: Tensor
    """`(B, I)` of the fused features by the global classifier."""
    fused: Tensor
    """`(B, C)` of each row and a picture of the same person in the other modality; the two share theirs."""


class ModalFusion(nn.Module):
    """Channels that a person's own modality relies on weigh more in the fused feature, common ones less."""

    def __init__(self, feature_dim: int, identities: int, fusion: Fusion = "attention") -> None:
        """`fusion` "mean" weighs all channels alike, the control."""
        super().__init__()
        self.classifiers = Classifiers(2, feature_dim, identities)
        self.fusion = fusion

    def forward(self, output: TrainingOutput, classify: Classify) -> FusionOutput:
        targets, features = output.targets, output.head.whole_bn
        logits = self.classifiers(features.unsqueeze(1).expand(-1, 2, -1))
        own = logits.gather(1, targets.modalities.reshape(-1, 1, 1).expand(-1, 1, logits.shape[2])).squeeze(1)
        weights = self.classifiers.weight.detach()
        evidence = torch.stack([features.detach() * side[targets.identities] for side in weights])
        visible, thermal, places = paired(targets.identities, targets.modalities)
        if self.fusion == "attention":
            fused = (
                _attention(evidence[0, visible], evidence[1, visible]) * features[visible]
                + _attention(evidence[1, thermal], evidence[0, thermal]) * features[thermal]
            )
        else:
            fused = 0.5 * (features[visible] + features[thermal])
        fused = fused[places]
        return FusionOutput(own, classify(fused), fused)


def paired(identities: Tensor, modalities: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The rows of a batch as couples of one person, in both modalities, whatever their order.

    Returns:
        `(R,)` visible rows, `(R,)` thermal rows, and `(B,)` each row's couple.

    Raises:
        ValueError: some identity has more pictures in one modality than in the other.
    """
    visible, thermal = (
        torch.nonzero(modalities == side).squeeze(1)[torch.argsort(identities[modalities == side], stable=True)]
        for side in (0, 1)
    )
    if len(visible) != len(thermal) or not torch.equal(identities[visible], identities[thermal]):
        raise ValueError("every identity of the batch needs as many visible as thermal pictures")
    places = torch.empty_like(identities)
    places[visible] = places[thermal] = torch.arange(len(visible), device=identities.device)
    return visible, thermal, places


def _attention(own: Tensor, foreign: Tensor) -> Tensor:
    """`sigmoid(z(own) - z(foreign))` with z the standardisation of each row: 1/2 for channels that both rely on."""
    wide = own.shape[1:]
    # Evidence is small while the classifiers are: an eps of its size would leave the rows unstandardised.
    own, foreign = (F.layer_norm(side.float(), wide, eps=1e-12) for side in (own, foreign))
    return torch.sigmoid(own - foreign)
