"""One network for two modalities: the first stages exist twice, the others once.

Shapes: B images of H x W pixels, D the embedding's size, C_k x h_k x w_k the map after stage k.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from edge_reid.models.attention import PartAttention
from edge_reid.models.heads import EmbeddingHead
from edge_reid.models.input import normalize
from edge_reid.types import Modality

ShareMode = Literal["stage", "conv"]

STAGES = 5


class Trunk(Protocol):
    """What a two-stream network is made from."""

    channels: tuple[int, int, int, int, int]
    """Of the maps after the five stages."""

    def stages(self) -> list[nn.Module]:
        """The five parts in order."""


class Maps(list[Tensor]):
    """The maps after the five stages, `(B, C_k, h_k, w_k)`, and what the attention said on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.part_logits: list[Tensor] = []
        """`(B, K + 1, h_k, w_k)` of each attention."""


class TwoStream(nn.Module):
    """The trunk in two streams and the embedding head on its last map. Nothing in here serves training only."""

    def __init__(
        self, trunk: Trunk, head: EmbeddingHead, *, share_from: int, share_mode: ShareMode,
        attention: Mapping[int, PartAttention] | None = None,
    ) -> None:  # fmt: skip
        """Take the trunk's stages over.

        Args:
            trunk: its five stages.
            head: on the last map.
            share_from: stages below it (0..5) are doubled with equal weights.
            share_mode: with "conv" the doubled stages keep common convolutions and differ in their BatchNorm only.
            attention: by the stage whose map it changes, a shared one.
        """
        super().__init__()
        if not 0 <= share_from <= STAGES:
            raise ValueError(f"share_from is the first shared stage, 0 to {STAGES}, got {share_from}")
        if any(not share_from <= stage < STAGES for stage in attention or {}):
            raise ValueError(f"attention belongs after a shared stage, {share_from} to {STAGES - 1}")
        stages = trunk.stages()
        self.channels = trunk.channels
        self.visible = nn.Sequential(*stages[:share_from])
        self.thermal = copy.deepcopy(self.visible)
        self.shared = nn.Sequential(*stages[share_from:])
        self.attention = nn.ModuleDict({str(stage): module for stage, module in (attention or {}).items()})
        self.head = head
        self.share_mode = share_mode
        self.share_convolutions()

    @property
    def embedding_dim(self) -> int:
        """D"""
        return self.head.embedding_dim

    def share_convolutions(self) -> None:
        """Give the doubled stages common convolution weights, where they are to have common ones."""
        if self.share_mode == "stage":
            return
        for mine, other in zip(self.visible.modules(), self.thermal.modules(), strict=True):
            if isinstance(mine, nn.Conv2d) and isinstance(other, nn.Conv2d):
                other.weight, other.bias = mine.weight, mine.bias

    def maps(self, images: Tensor, modality: Modality) -> Maps:
        """Normalised images `(B, 3, H, W)` of one modality -> the five maps."""
        specific = self.visible if modality == "visible" else self.thermal
        maps = Maps()
        for stage in specific:
            images = stage(images)
            maps.append(images)
        return self._shared_maps(maps, images)

    def joint_maps(self, visible: Tensor, thermal: Tensor) -> Maps:
        """The maps of a batch of both modalities, `(B_visible + B_thermal, C_k, h_k, w_k)`, visible first.

        Shared stages see both at once, so their BatchNorm learns the statistics of the mixture.
        """
        maps = Maps()
        for first, second in zip(self.visible, self.thermal, strict=True):
            visible, thermal = first(visible), second(thermal)
            maps.append(torch.cat([visible, thermal]))
        return self._shared_maps(maps, maps[-1] if maps else torch.cat([visible, thermal]))

    def _shared_maps(self, maps: Maps, images: Tensor) -> Maps:
        for stage in self.shared:
            images = stage(images)
            if str(len(maps)) in self.attention:
                images, logits = self._attention(len(maps)).attend(images)
                maps.part_logits.append(logits)
            maps.append(images)
        return maps

    def _attention(self, stage: int) -> PartAttention:
        module = self.attention[str(stage)]
        if not isinstance(module, PartAttention):
            raise TypeError(f"a PartAttention expected, got {type(module).__name__}")
        return module

    def embed(self, images: Tensor, modality: Modality) -> Tensor:
        """Normalised images `(B, 3, H, W) -> (B, D)`, unit norm."""
        return self.head.embedding(self.head(self.maps(images, modality)[-1]))

    def branch(self, modality: Modality) -> Branch:
        """The module to export for one modality. It shares its weights with this network."""
        specific = self.visible if modality == "visible" else self.thermal
        stages = [*specific, *self.shared]
        for stage, module in self.attention.items():
            stages[int(stage)] = nn.Sequential(stages[int(stage)], module)
        return Branch(nn.Sequential(*stages), self.head)


class Branch(nn.Module):
    """One modality from crops to embeddings: uint8 `(B, H, W, 3)` BGR or `(B, H, W) -> (B, D)`, unit norm."""

    def __init__(self, trunk: nn.Sequential, head: EmbeddingHead) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head
        self.train(head.training)

    def forward(self, crops: Tensor) -> Tensor:
        return self.head.embedding(self.head(self.trunk(normalize(crops))))
