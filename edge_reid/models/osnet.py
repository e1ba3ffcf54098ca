"""OSNet (Zhou et al., ICCV 2019): omni-scale features from a network of two million weights.

The module tree and the state-dict names are those of torchreid's `osnet_x*` without the classifier, so its published
weights load by name. Shapes: B images, H x W their size, C channels, h x w a map's size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHANNELS: dict[float, tuple[int, int, int, int]] = {
    1.0: (64, 256, 384, 512),
    0.75: (48, 192, 288, 384),
    0.5: (32, 128, 192, 256),
    0.25: (16, 64, 96, 128),
}
"""Output channels of the stem and of stages 1, 2, 3 per width; stage 4 keeps those of stage 3."""

GATE_REDUCTION = 16


class ConvLayer(nn.Module):
    """Convolution, BatchNorm, ReLU: `(B, C_in, h, w) -> (B, C_out, h / stride, w / stride)`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = self.relu(self.bn(self.conv(maps)))
        return out


class Conv1x1Linear(nn.Module):
    """1x1 convolution and BatchNorm without an activation: `(B, C_in, h, w) -> (B, C_out, h, w)`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = self.bn(self.conv(maps))
        return out


class LightConv3x3(nn.Module):
    """A 3x3 convolution as 1x1 (linear) and 3x3 depthwise, BatchNorm, ReLU; the size stays."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, groups=outputs, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = self.relu(self.bn(self.conv2(self.conv1(maps))))
        return out


class ChannelGate(nn.Module):
    """Weighs each channel by a function of its mean: `(B, C, h, w) -> (B, C, h, w)`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.global_avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, channels // GATE_REDUCTION, 1)
        self.relu = nn.ReLU()
        self.fc2 = nn.Conv2d(channels // GATE_REDUCTION, channels, 1)
        self.gate_activation = nn.Sigmoid()

    def forward(self, maps: Tensor) -> Tensor:
        gate: Tensor = self.gate_activation(self.fc2(self.relu(self.fc1(self.global_avgpool(maps)))))
        return maps * gate


class OSBlock(nn.Module):
    """Four streams of one to four light convolutions, weighed by one shared gate, summed, added to the input."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        middle = outputs // 4
        self.conv1 = ConvLayer(inputs, middle, 1)
        self.conv2a = LightConv3x3(middle, middle)
        self.conv2b = nn.Sequential(*(LightConv3x3(middle, middle) for _ in range(2)))
        self.conv2c = nn.Sequential(*(LightConv3x3(middle, middle) for _ in range(3)))
        self.conv2d = nn.Sequential(*(LightConv3x3(middle, middle) for _ in range(4)))
        self.gate = ChannelGate(middle)
        self.conv3 = Conv1x1Linear(middle, outputs)
        self.downsample = Conv1x1Linear(inputs, outputs) if inputs != outputs else None
        self.relu = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        identity = maps if self.downsample is None else self.downsample(maps)
        reduced = self.conv1(maps)
        streams = (self.conv2a, self.conv2b, self.conv2c, self.conv2d)
        mixed = self.gate(streams[0](reduced))
        for stream in streams[1:]:
            mixed = mixed + self.gate(stream(reduced))
        out: Tensor = self.relu(self.conv3(mixed) + identity)
        return out


class OSNet(nn.Module):
    """`(B, 3, H, W)` normalised RGB `-> (B, feature_dim)`, the non-negative vector after `fc`."""

    def __init__(self, channels: tuple[int, int, int, int], feature_dim: int) -> None:
        super().__init__()
        stem, first, second, third = channels
        self.channels = (stem, first, second, third, third)
        self.conv1 = ConvLayer(3, stem, 7, stride=2)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2 = nn.Sequential(OSBlock(stem, first), OSBlock(first, first), _halve(first))
        self.conv3 = nn.Sequential(OSBlock(first, second), OSBlock(second, second), _halve(second))
        self.conv4 = nn.Sequential(OSBlock(second, third), OSBlock(third, third))
        self.conv5 = ConvLayer(third, third, 1)
        self.global_avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(nn.Linear(third, feature_dim), nn.BatchNorm1d(feature_dim), nn.ReLU())
        self.apply(initialize)

    def stages(self) -> list[nn.Module]:
        """The five parts that a two-stream network shares or doubles: 0 the stem at H/4, 1 at H/8, 2 to 4 at H/16."""
        return [nn.Sequential(self.conv1, self.maxpool), self.conv2, self.conv3, self.conv4, self.conv5]

    def forward(self, images: Tensor) -> Tensor:
        maps = images
        for stage in self.stages():
            maps = stage(maps)
        out: Tensor = self.fc(torch.flatten(self.global_avgpool(maps), 1))
        return out


def build_osnet(width: float = 1.0, feature_dim: int = 512) -> OSNet:
    """An untrained OSNet of a published width (1.0, 0.75, 0.5 or 0.25)."""
    if width not in CHANNELS:
        raise ValueError(f"width {width} is not one of {', '.join(map(str, CHANNELS))}")
    return OSNet(CHANNELS[width], feature_dim)


def initialize(module: nn.Module) -> None:
    """He initialisation of convolutions, N(0, 0.01) of linear layers, residual branches that start at zero.

    Fan-in and not torchreid's fan-out, which PyTorch computes without the groups of a depthwise convolution; and with
    blocks that begin as the identity, training from scratch begins to learn several times sooner.
    """
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
    elif isinstance(module, OSBlock):
        nn.init.zeros_(module.conv3.bn.weight)
    if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


def _halve(channels: int) -> nn.Sequential:
    return nn.Sequential(ConvLayer(channels, channels, 1), nn.AvgPool2d(2, stride=2))
