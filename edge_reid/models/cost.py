"""What a network costs at inference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from edge_reid.models.build import build_network
from edge_reid.models.two_stream import TwoStream

if TYPE_CHECKING:
    from edge_reid.recipes.base import Recipe


@dataclass(frozen=True)
class Cost:
    """Of one picture through the deployed network."""

    stored: int
    """Parameters of both streams."""
    active: int
    """Parameters that a picture meets: those of one stream."""
    macs: int
    """Multiply-accumulates of convolutions, linear layers and matrix products."""
    embedding_dim: int

    def __str__(self) -> str:
        return (
            f"{self.stored / 1e6:.3f} M parameters stored, {self.active / 1e6:.3f} M active, "
            f"{self.macs / 1e9:.3f} GMACs per picture, {self.embedding_dim} numbers in an embedding"
        )


def cost(recipe: Recipe) -> Cost:
    """The cost of a recipe's network at its size; nothing is computed and nothing stored."""
    with torch.device("meta"):
        network = build_network(recipe).eval()
        images = torch.empty(1, 3, *recipe.size)
    return Cost(
        stored=_count(network),
        active=_count(network.branch("visible")),
        macs=macs(network, images),
        embedding_dim=network.embedding_dim,
    )


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def macs(network: TwoStream, images: torch.Tensor) -> int:
    """Multiply-accumulates of embedding `images` `(B, 3, H, W)`."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.embed(images, "visible")
    return int(counter.get_total_flops()) // 2
