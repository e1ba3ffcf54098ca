"""Random changes to a training picture that leave the person who they are.

Shapes: H x W the size of the step's pictures, C planes, 3 for visible, 1 for thermal. Crops as everywhere: uint8,
`(H, W, 3)` BGR or `(H, W)`; label maps uint8 `(H, W)`. Every change draws from PyTorch's global generator.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from edge_reid.types import IGNORE, Modality

Augmentation = Literal["light", "erasing", "channels", "synthetic"]
"""light: shift and flip, as AGW and HcTri train. erasing: also a black rectangle of 2 to 33 % in every second picture,
after MMN and DEEN (whose rectangles have the mean colour and on SYSU-MM01 20 to 80 %). channels: with channel
exchange and channel erasing, after CAJ (which has every visible picture twice in a step, once exchanged). synthetic:
with gain, polarity and grey, which the drawn people need."""

ERASED = 0
"""Label maps are moved up by one while they are transformed, so that the erasing's 0 is no part's label; IGNORE, the
largest uint8, becomes 0 as well, and both end as IGNORE."""

CHANNEL_FILL = (129, 144, 152)
"""BGR that CAJ's channel erasing writes, in pixels: the published code writes the mean of another data set, not
normalised, into normalised pictures."""


def augment(
    crop: Tensor, labels: Tensor, modality: Modality, augmentation: Augmentation = "synthetic"
) -> tuple[Tensor, Tensor]:
    """A changed crop and its label map, both of the size they had.

    Position, flip and erasing are the same for both; erased pixels get the label IGNORE.
    """
    planes = crop.permute(2, 0, 1) if modality == "visible" else crop.unsqueeze(0)
    planes = photometric(augmentation, modality)(planes)
    stacked = torch.cat([planes, labels.unsqueeze(0) + 1])
    stacked = geometric(augmentation, crop.shape[0], crop.shape[1])(stacked)
    planes, labels = stacked[:-1], stacked[-1]
    if augmentation == "channels" and modality == "visible":
        planes = ChannelExchange(0.5)(planes)  # last, so that what was erased is as grey as the rest
    labels = torch.where(labels == ERASED, IGNORE, labels - 1)
    return (planes.permute(1, 2, 0) if modality == "visible" else planes[0]), labels


@functools.lru_cache
def photometric(augmentation: Augmentation, modality: Modality) -> Callable[[Tensor], Tensor]:
    """Changes of the values of `(C, H, W)` uint8 planes."""
    if augmentation != "synthetic":
        return nn.Identity()
    gain = v2.ColorJitter(brightness=0.3, contrast=0.3)  # colours carry nothing across, and heat may be dark
    if modality == "thermal":
        return _chain(gain, v2.RandomInvert(0.1))
    # The planes are BGR, so red and blue swap their weights in the grey: as good a grey as any.
    return _chain(gain, v2.RandomGrayscale(0.5))


@functools.lru_cache
def geometric(augmentation: Augmentation, height: int, width: int) -> Callable[[Tensor], Tensor]:
    """Changes of the place of `(C + 1, H, W)` planes, the last one a label map moved up by one."""
    if augmentation == "synthetic":
        shift = v2.RandomCrop((height, width), padding=round(height / 24), padding_mode="edge")
        return _chain(shift, v2.RandomHorizontalFlip(), v2.RandomErasing(0.5, scale=(0.02, 0.3), value=ERASED))
    changes: list[nn.Module] = [v2.RandomCrop((height, width), padding=10), v2.RandomHorizontalFlip()]
    if augmentation == "erasing":
        changes.append(v2.RandomErasing(0.5, value=ERASED))
    if augmentation == "channels":
        changes.append(ChannelErasing(0.5))
    return _chain(*changes)


def _chain(*changes: nn.Module) -> nn.Module:
    return nn.Sequential(*changes)


class ChannelExchange(nn.Module):
    """With probability p, one of the three planes stands for all: `(3, H, W)` uint8 to the same (CAJ, Ye et al. 2021).

    The picture is then as grey as a thermal one, but with another response to colours each time.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, planes: Tensor) -> Tensor:
        if torch.rand(()) >= self.p:
            return planes
        return planes[int(torch.randint(3, ()))].expand_as(planes)


class ChannelErasing(nn.Module):
    """With probability p, a rectangle in the channels' fill values: `(C + 1, H, W)` to the same (CAJ, Ye et al. 2021).

    The last plane, a label map, gets ERASED. The rectangle has 2 to 40 % of the area and an aspect of 0.3 to 3.3, both
    uniform; after 100 that do not fit the picture stays.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, stacked: Tensor) -> Tensor:
        if torch.rand(()) >= self.p:
            return stacked
        height, width = stacked.shape[1:]
        for _ in range(100):
            area = float(torch.empty(()).uniform_(0.02, 0.4)) * height * width
            aspect = float(torch.empty(()).uniform_(0.3, 1 / 0.3))
            tall, wide = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
            if tall < height and wide < width:
                break
        else:
            return stacked
        top, left = int(torch.randint(height - tall + 1, ())), int(torch.randint(width - wide + 1, ()))
        fill = torch.tensor([*CHANNEL_FILL[: len(stacked) - 1], ERASED], dtype=stacked.dtype)
        changed = stacked.clone()
        changed[:, top : top + tall, left : left + wide] = fill[:, None, None]
        return changed
