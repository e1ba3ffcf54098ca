"""ResNet-50 as re-identification uses it: torchvision's, with the last stage at stride 1. Names are torchvision's."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet

RESNET50_CHANNELS = (64, 256, 512, 1024, 2048)
"""Of the maps after the five stages."""


class ResNet50(ResNet):  # type: ignore[misc]  # torchvision is untyped
    """`(B, 3, H, W)` normalised RGB `-> (B, 2048, H / 16, W / 16)`; torchvision's checkpoints load by name."""

    channels = RESNET50_CHANNELS

    def __init__(self) -> None:
        super().__init__(Bottleneck, [3, 4, 6, 3])
        del self.fc
        first = self.layer4[0]
        first.conv2.stride = first.downsample[0].stride = (1, 1)

    def stages(self) -> list[nn.Module]:
        """The five parts that a two-stream network shares or doubles: 0 and 1 at H/4, 2 at H/8, 3 and 4 at H/16."""
        stem = nn.Sequential(self.conv1, self.bn1, self.relu, self.maxpool)
        return [stem, self.layer1, self.layer2, self.layer3, self.layer4]

    def forward(self, images: Tensor) -> Tensor:
        maps = images
        for stage in self.stages():
            maps = stage(maps)
        return maps
