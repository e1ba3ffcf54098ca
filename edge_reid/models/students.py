"""Train-only parts: shallow students of the self-distillation, classifiers, and heads for what a generator knows.

Shapes: B images, C_k x h_k x w_k the map after stage k, C the last map's channels, I identities, N parts of size d.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge_reid.models.heads import generalized_mean, neck
from edge_reid.models.osnet import ConvLayer, LightConv3x3


class Student(nn.Module):
    """A shallow recogniser on the map of an early stage: `(B, C_k, h_k, w_k) -> (B, C)` twice, before and after BNNeck.

    Its feature has the size of the deepest one, so that it can be compared with it.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        hidden = outputs // 4
        self.align = nn.Sequential(
            ConvLayer(inputs, hidden, 1),
            LightConv3x3(hidden, hidden),
            LightConv3x3(hidden, hidden),
            ConvLayer(hidden, outputs, 1),
        )
        self.neck = neck(outputs)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        feature = generalized_mean(self.align(maps))
        return feature, self.neck(feature)


class Classifiers(nn.Module):
    """One bias-free linear classifier per feature: `(B, N, d) -> (B, N, I)`."""

    def __init__(self, features: int, size: int, identities: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(features, identities, size).normal_(std=0.001))

    def forward(self, features: Tensor) -> Tensor:
        return torch.einsum("bnd,nid->bni", features, self.weight)
