"""Parsing-aware attention: channels first, then the places that show a person.

From what the abstract of CSCL says of its part-aware module; the form is this project's (10.1109/TMM.2024.3521843).
Shapes: B images, C channels, h x w a map's size, K parts of a person.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

REDUCTION = 16


class PartAttention(nn.Module):
    """`x + gamma * places * (channels * x)`, with gamma 0 at first: it starts as the identity.

    `channels` is one gate for mean and largest value, `places` the probability of showing any part, each part with a
    weight that is learnt. Kept at inference.
    """

    def __init__(self, channels: int, parts: int) -> None:
        super().__init__()
        hidden = max(1, channels // REDUCTION)
        self.gate = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.parser = PixelClassifier(channels, parts)
        self.part_weights = nn.Parameter(torch.zeros(parts))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, maps: Tensor) -> Tensor:
        """`(B, C, h, w)` to the same."""
        return self.attend(maps)[0]

    def attend(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """The attended maps, and the logits `(B, K + 1, h, w)` of what each place shows, 0 the background."""
        mean = torch.flatten(F.adaptive_avg_pool2d(maps, 1), 1)
        weights = torch.sigmoid(self.gate(mean) + self.gate(maps.amax((2, 3))))
        gated = maps * weights[:, :, None, None]
        logits = self.parser(gated)
        shown = logits.softmax(1)[:, 1:] * (2 * torch.sigmoid(self.part_weights))[:, None, None]
        return maps + self.gamma * shown.sum(1, keepdim=True) * gated, logits


class PixelClassifier(nn.Sequential):
    """BatchNorm and a 1x1 convolution: `(B, C, h, w) -> (B, K + 1, h, w)` logits, 0 the background."""

    def __init__(self, channels: int, parts: int) -> None:
        super().__init__(nn.BatchNorm2d(channels), nn.Conv2d(channels, parts + 1, 1))
