"""One network for two modalities: the first stages exist twice, the others once.

Shapes: B images of H x W pixels, D the embedding's size, C_k x h_k x w_k the map after stage k.
"""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn

from edge_reid.models.heads import EmbeddingHead, HeadOutput
from edge_reid.models.input import normalize
from edge_reid.models.osnet import OSNet
from edge_reid.types import Modality

ShareMode = Literal["stage", "conv"]

STAGES = 5


class TwoStream(nn.Module):
    """The trunk in two streams and the embedding head on its last map. Nothing in here serves training only."""

    def __init__(self, trunk: OSNet, head: EmbeddingHead, *, share_from: int, share_mode: ShareMode) -> None:
        """Take the trunk's stages over; stages below `share_from` (0..5) are doubled with equal weights.

        With `share_mode` "conv" the doubled stages keep common convolutions and differ in their BatchNorm only.
        """
        super().__init__()
        if not 0 <= share_from <= STAGES:
            raise ValueError(f"share_from is the first shared stage, 0 to {STAGES}, got {share_from}")
        stages = trunk.stages()
        self.visible = nn.Sequential(*stages[:share_from])
        self.thermal = copy.deepcopy(self.visible)
        self.shared = nn.Sequential(*stages[share_from:])
        self.head = head
        if share_mode == "conv":
            _share_convolutions(self.visible, self.thermal)

    @property
    def embedding_dim(self) -> int:
        """D"""
        return self.head.embedding_dim

    def maps(self, images: Tensor, modality: Modality) -> list[Tensor]:
        """Normalised images `(B, 3, H, W)` of one modality -> the five maps `(B, C_k, h_k, w_k)`."""
        specific = self.visible if modality == "visible" else self.thermal
        return _run([*specific, *self.shared], images)

    def joint_maps(self, visible: Tensor, thermal: Tensor) -> list[Tensor]:
        """The maps of a batch of both modalities, `(B_visible + B_thermal, C_k, h_k, w_k)`, visible first.

        Shared stages see both at once, so their BatchNorm learns the statistics of the mixture.
        """
        pairs = zip(_run(self.visible, visible), _run(self.thermal, thermal), strict=True)
        maps = [torch.cat(pair) for pair in pairs]
        return maps + _run(self.shared, maps[-1] if maps else torch.cat([visible, thermal]))

    def embed(self, images: Tensor, modality: Modality) -> Tensor:
        """Normalised images `(B, 3, H, W) -> (B, D)`, unit norm."""
        output: HeadOutput = self.head(self.maps(images, modality)[-1])
        return output.embedding()

    def branch(self, modality: Modality) -> Branch:
        """The module to export for one modality. It shares its weights with this network."""
        specific = self.visible if modality == "visible" else self.thermal
        return Branch(nn.Sequential(*specific, *self.shared), self.head)


class Branch(nn.Module):
    """One modality from crops to embeddings: uint8 `(B, H, W, 3)` BGR or `(B, H, W) -> (B, D)`, unit norm."""

    def __init__(self, trunk: nn.Sequential, head: EmbeddingHead) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head
        self.train(head.training)

    def forward(self, crops: Tensor) -> Tensor:
        output: HeadOutput = self.head(self.trunk(normalize(crops)))
        return output.embedding()


def _run(stages: nn.Sequential | list[nn.Module], images: Tensor) -> list[Tensor]:
    maps: list[Tensor] = []
    for stage in stages:
        images = stage(images)
        maps.append(images)
    return maps


def _share_convolutions(first: nn.Module, second: nn.Module) -> None:
    for mine, other in zip(first.modules(), second.modules(), strict=True):
        if isinstance(mine, nn.Conv2d) and isinstance(other, nn.Conv2d):
            other.weight, other.bias = mine.weight, mine.bias
