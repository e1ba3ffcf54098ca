"""OSBlocks with their BatchNorm folded, in three arrangements that compute the same.

apart: each light convolution as it is, for float. merged: few and wide ones, for 8 bits on a processor. dense: each
light convolution, 1x1 and depthwise 3x3, as one ordinary 3x3; half the kernels and no tensor between the two, whose
range nothing bounds, for 2.7 (x0.25) to 3.4 (x1.0) times the network's arithmetic.

Measured with onnxruntime 1.31 on one core of an AMD EPYC with avx512_vnni, on a 64 x 32 map: a float convolution of 16
channels takes 10 us (1x1) and 11 us (depthwise 3x3), an 8-bit one 14 us and 29 us, but four times as wide a depthwise
one only 46 us. So 8 bits want few wide convolutions, float many narrow ones.
Shapes: B images, C channels, m = C / 4 the channels of a stream, h x w a map's size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edge_reid.models.osnet import ChannelGate, LightConv3x3, OSBlock

Streams = Literal["apart", "merged", "dense"]

STREAMS = 4

NARROW = 32
"""Up to this many channels per stream, zeros in a merged 1x1 convolution cost less than a convolution per stream."""


class FoldedBlock(nn.Module):
    """An OSBlock whose four streams meet before the gate: `(B, C_in, h, w) -> (B, C, h, w)`."""

    def __init__(self, block: OSBlock, streams: Streams) -> None:
        super().__init__()
        self.reduce = fused(block.conv1.conv, block.conv1.bn)
        self.expand = fused(block.conv3.conv, block.conv3.bn)
        self.skip = nn.Identity() if block.downsample is None else fused(block.downsample.conv, block.downsample.bn)
        self.gate = FoldedGate(block.gate)
        chains = [_chain(stream) for stream in (block.conv2a, block.conv2b, block.conv2c, block.conv2d)]
        self.sums_in_expand = streams == "merged" and self.expand.in_channels <= NARROW
        self.streams: nn.Module
        if self.sums_in_expand:
            self.streams = _merged(chains)
            weights = self.expand.weight.data.repeat(1, STREAMS, 1, 1)
            self.expand = convolution(weights, self.expand.bias)
        else:
            self.streams = Apart(chains) if streams == "apart" else SharedStart(chains, dense=streams == "dense")

    def forward(self, maps: Tensor) -> Tensor:
        streams = self.streams(F.relu(self.reduce(maps)))
        mixed = streams * self.gate(streams)
        if not self.sums_in_expand:
            first, second, third, fourth = mixed.chunk(STREAMS, dim=1)
            mixed = first + second + third + fourth
        return F.relu(self.expand(mixed) + self.skip(maps))


class FoldedGate(nn.Module):
    """The weights of all streams' channels from one pass of the shared gate: `(B, 4 m, h, w) -> (B, 4 m, 1, 1)`."""

    def __init__(self, gate: ChannelGate) -> None:
        super().__init__()
        self.channels = gate.fc1.in_channels
        self.hidden, self.weights = linear(gate.fc1), linear(gate.fc2)

    def forward(self, streams: Tensor) -> Tensor:
        # Two dimensions, so that each layer is one Gemm, bias and all.
        means = F.adaptive_avg_pool2d(streams, 1).reshape(-1, self.channels)
        weights = torch.sigmoid(self.weights(F.relu(self.hidden(means))))
        return weights.reshape(-1, STREAMS * self.channels, 1, 1)


class Light(NamedTuple):
    """The weights of one light convolution, or of several side by side."""

    pointwise: Tensor
    """`(outputs, inputs, 1, 1)`"""
    depthwise: Tensor
    """`(outputs, 1, 3, 3)`"""
    bias: Tensor
    """`(outputs,)`"""

    def module(self, *, dense: bool = False) -> nn.Sequential:
        """1x1, depthwise 3x3, ReLU; dense: one 3x3, ReLU.

        Nothing lies between the two, and the first has no bias: what it makes of the zeros around a map are zeros.
        """
        if dense:
            return nn.Sequential(convolution(self.depthwise * self.pointwise, self.bias, padding=1), nn.ReLU())
        spatial = convolution(self.depthwise, self.bias, groups=len(self.depthwise), padding=1)
        return nn.Sequential(convolution(self.pointwise), spatial, nn.ReLU())


class Apart(nn.Module):
    """Each stream on its own: `(B, m, h, w) -> (B, 4 m, h, w)`."""

    def __init__(self, chains: Sequence[Sequence[Light]]) -> None:
        super().__init__()
        self.chains = nn.ModuleList(nn.Sequential(*(light.module() for light in chain)) for chain in chains)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.cat([chain(maps) for chain in self.chains], dim=1)


class SharedStart(nn.Module):
    """The first light convolutions of all streams, which read the same map, as one; the rest apart."""

    def __init__(self, chains: Sequence[Sequence[Light]], *, dense: bool) -> None:
        super().__init__()
        self.widths = [len(chain[0].bias) for chain in chains]  # pruning leaves them uneven
        self.start = _side_by_side([chain[0] for chain in chains], torch.cat).module(dense=dense)
        rests = ([light.module(dense=dense) for light in chain[1:]] for chain in chains)
        self.rests = nn.ModuleList(nn.Sequential(*rest) for rest in rests)

    def forward(self, maps: Tensor) -> Tensor:
        starts = self.start(maps).split(self.widths, dim=1)
        return torch.cat([rest(start) for rest, start in zip(self.rests, starts, strict=True)], dim=1)


def _merged(chains: Sequence[Sequence[Light]]) -> nn.Sequential:
    """All streams as one of four levels; a stream that has ended passes the remaining ones unchanged."""
    channels = len(chains[0][-1].bias)
    centre = torch.zeros(channels, 1, 3, 3)
    centre[:, :, 1, 1] = 1
    # What arrives there has passed a ReLU, so a second one changes nothing.
    unchanged = Light(torch.eye(channels)[:, :, None, None], centre, torch.zeros(channels))
    levels = [[chain[k] if k < len(chain) else unchanged for chain in chains] for k in range(STREAMS)]
    joins = [torch.cat] + [_block_diagonal] * (STREAMS - 1)
    return nn.Sequential(*(_side_by_side(level, join).module() for level, join in zip(levels, joins, strict=True)))


def _side_by_side(lights: Sequence[Light], join: Callable[[list[Tensor]], Tensor]) -> Light:
    pointwise, depthwise, bias = zip(*lights, strict=True)
    return Light(join(list(pointwise)), torch.cat(depthwise), torch.cat(bias))


def _block_diagonal(weights: list[Tensor]) -> Tensor:
    return block_diagonal(weight.flatten(1) for weight in weights)[:, :, None, None]


def _chain(stream: nn.Module) -> list[Light]:
    chain = []
    lights = [module for module in stream.modules() if isinstance(module, LightConv3x3)]
    for light in lights:
        spatial = fused(light.conv2, light.bn)
        chain.append(Light(light.conv1.weight.detach(), spatial.weight.detach(), _bias(spatial)))
    return chain


def convolution(
    weights: Tensor, bias: Tensor | None = None, *, groups: int = 1, stride: int = 1, padding: int = 0
) -> nn.Conv2d:
    """A convolution of the given weights `(outputs, inputs / groups, k, k)`."""
    outputs, inputs, kernel, _ = weights.shape
    layer = nn.Conv2d(inputs * groups, outputs, kernel, stride, padding, groups=groups, bias=bias is not None)
    layer.load_state_dict({"weight": weights} if bias is None else {"weight": weights, "bias": bias})
    return layer


def linear(layer: nn.Conv2d) -> nn.Linear:
    """What a 1x1 convolution does to each pixel: `(B, inputs) -> (B, outputs)`."""
    made = nn.Linear(layer.in_channels, layer.out_channels)
    made.load_state_dict({"weight": layer.weight.detach().flatten(1), "bias": _bias(layer)})
    return made


def mean_convolution(channels: int) -> nn.Conv2d:
    """2x2 mean pooling of stride 2 as a depthwise convolution: in 8 bits 34 us against 636 us at 256 x 64 x 32."""
    return convolution(torch.full((channels, 1, 2, 2), 0.25), groups=channels, stride=2)


def fused(conv: nn.Module, norm: nn.Module) -> nn.Conv2d:
    """One convolution for a convolution and the BatchNorm after it."""
    if not (isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
        raise TypeError(f"a Conv2d and a BatchNorm2d expected, got {type(conv).__name__} and {type(norm).__name__}")
    return fuse_conv_bn_eval(conv, norm)


def block_diagonal(blocks: Iterable[Tensor]) -> Tensor:
    """A matrix of the given ones along its diagonal, zero elsewhere."""
    matrix: Tensor = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
    return matrix


def _bias(layer: nn.Conv2d) -> Tensor:
    if layer.bias is None:
        raise TypeError("a convolution with a bias expected")
    return layer.bias.detach()
