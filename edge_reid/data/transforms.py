"""Random changes to a training picture that leave the person who they are.

Shapes: H x W the size of the step's pictures. Crops as everywhere: uint8, `(H, W, 3)` BGR or `(H, W)`; label maps uint8
`(H, W)`.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torchvision.transforms import v2

from edge_reid.losses.parsing import IGNORE
from edge_reid.types import Modality

ERASED = 0
"""Label maps are moved up by one while they are transformed, so that the erasing's 0 is no part's label; IGNORE, the
largest uint8, becomes 0 as well, and both end as IGNORE."""


def augment(crop: Tensor, labels: Tensor, modality: Modality) -> tuple[Tensor, Tensor]:
    """A changed crop and its label map, both of the size they had; PyTorch's global generator decides.

    Position, flip and erasing are the same for both; erased pixels get the label IGNORE.
    """
    planes = crop.permute(2, 0, 1) if modality == "visible" else crop.unsqueeze(0)
    planes = photometric(modality)(planes)
    stacked = geometric(crop.shape[0], crop.shape[1])(torch.cat([planes, labels.unsqueeze(0) + 1]))
    labels = stacked[-1]
    labels = torch.where(labels == ERASED, IGNORE, labels - 1)
    return (stacked[:3].permute(1, 2, 0) if modality == "visible" else stacked[0]), labels


@functools.lru_cache
def photometric(modality: Modality) -> v2.Transform:
    """Changes of the values: gain for both; colours fade or vanish, as they carry nothing across; heat may be dark."""
    gain = v2.ColorJitter(brightness=0.3, contrast=0.3)
    if modality == "thermal":
        return v2.Compose([gain, v2.RandomInvert(0.1)])
    # The planes are BGR, so red and blue swap their weights in the grey: as good a grey as any.
    return v2.Compose([gain, v2.RandomGrayscale(0.5)])


@functools.lru_cache
def geometric(height: int, width: int) -> v2.Transform:
    """Changes of the place: a shift by up to H / 24 pixels, a flip, a black rectangle."""
    return v2.Compose(
        [
            v2.RandomCrop((height, width), padding=round(height / 24), padding_mode="edge"),
            v2.RandomHorizontalFlip(),
            v2.RandomErasing(0.5, scale=(0.02, 0.3), value=ERASED),
        ]
    )
