"""Normalisation, as training runs it; an export folds it into the first convolution, and its parity check compares.

Shapes: B crops of H x W pixels, uint8, `(B, H, W, 3)` BGR for visible, `(B, H, W)` for thermal.
"""

from __future__ import annotations

import torch
from torch import Tensor

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet's, in RGB order, of values in 0..1."""


def normalize(crops: Tensor) -> Tensor:
    """Crops `(B, H, W, 3)` BGR or `(B, H, W)`, 0..255 `-> (B, 3, H, W)` float32 RGB, about -2..3.

    A thermal picture becomes three equal planes before the mean and deviation of each plane are applied.
    """
    images = crops.unsqueeze(1) if crops.dim() == 3 else crops.permute(0, 3, 1, 2).flip(1)
    mean = torch.tensor(MEAN, device=crops.device).reshape(1, 3, 1, 1)
    std = torch.tensor(STD, device=crops.device).reshape(1, 3, 1, 1)
    return images.to(torch.float32) * (1 / (255 * std)) - mean / std
