"""Train-only parts: shallow students of the self-distillation, and classifiers.

Shapes: B images, C_k x h_k x w_k the map after stage k, C the global feature's size, I identities, N features of size
d, S students.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from edge_reid.models.heads import generalized_mean, neck
from edge_reid.models.osnet import ConvLayer, LightConv3x3, initialize
from edge_reid.models.output import Classify, TrainingOutput


class StudentOutput(NamedTuple):
    """What the students say."""

    features: Tensor
    """`(B, S, C)` before their BNNecks."""
    logits: Tensor
    """`(B, S, I)`"""


class Students(nn.Module):
    """Shallow recognisers on the maps of early stages, with a classifier each."""

    def __init__(self, channels: Sequence[int], feature_dim: int, stages: Sequence[int], identities: int) -> None:
        """Make one student per stage.

        Args:
            channels: C_k of all maps.
            feature_dim: C.
            stages: whose maps they see.
            identities: I.
        """
        super().__init__()
        self.stages = tuple(stages)
        for number, stage in enumerate(self.stages):
            self.add_module(str(number), Student(channels[stage], feature_dim))
        self.apply(initialize)
        self.classifiers = Classifiers(len(self.stages), feature_dim, identities)

    def forward(self, output: TrainingOutput, classify: Classify) -> StudentOutput:
        pairs = [self.get_submodule(str(k))(output.maps[stage]) for k, stage in enumerate(self.stages)]
        features, normalised = zip(*pairs, strict=True)
        return StudentOutput(torch.stack(features, dim=1), self.classifiers(torch.stack(normalised, dim=1)))


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
