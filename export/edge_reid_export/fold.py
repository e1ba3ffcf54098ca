"""The same function in fewer and larger steps: what is constant at inference is computed once, here.

Every fold is exact up to float rounding; the written graph is compared with the original branch (`parity`).
Shapes: B crops of H x W pixels, C channels, h x w a map's size, N parts of size d.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from edge_reid.models.attention import PartAttention, PixelClassifier
from edge_reid.models.heads import EmbeddingHead, PartRelations, cubed_rows, stripe_bounds
from edge_reid.models.input import MEAN, STD
from edge_reid.models.osnet import ConvLayer, OSBlock
from edge_reid.models.two_stream import Branch
from edge_reid.types import Modality
from edge_reid_export.fold_block import FoldedBlock, Streams, block_diagonal, fused, linear, mean_convolution

WIDE_STEM = 32
"""With fewer outputs the stem's 7x7 convolution is slower in 8 bits: 0.39 ms against 0.25 ms at 16 channels."""


class FoldedBranch(nn.Module):
    """A branch with normalisation, BatchNorm and fixed pooling folded into its weights: crops `-> (B, D)`."""

    def __init__(self, branch: Branch, modality: Modality, size: tuple[int, int], streams: Streams = "apart") -> None:
        """Fold a branch, which is not changed.

        Args:
            branch: of a two-stream network, in eval mode.
            modality: decides the crops' layout.
            size: (H, W) of the crops.
            streams: arrangement of the OSBlocks; merged also rearranges what is slow in 8 bits on processors only: mean
                pooling, and the stem.
        """
        super().__init__()
        with torch.no_grad():
            first, *stages = branch.trunk.children()
            stem, pool = _stem(first)
            self.input = FoldedInput(stem, modality, size)
            # Equal either way around. Pooling first tells the quantiser to leave the stem float, and keeps onnxruntime
            # from moving the quantisation in front of the pooling, where it has only a slow kernel (0.48 ms).
            start = [pool, nn.ReLU()] if streams == "merged" and stem.out_channels < WIDE_STEM else [nn.ReLU(), pool]
            self.trunk = nn.Sequential(*start, *(_folded(stage, streams) for stage in stages))
            crops = torch.zeros(1, *size, *([3] if modality == "visible" else []), dtype=torch.uint8)
            rows = self.trunk(self.input(crops)).shape[2]
            self.head = FoldedHead(branch.head, rows) if FoldedHead.fits(branch.head) else EmbeddingOf(branch.head)
        self.eval()

    def forward(self, crops: Tensor) -> Tensor:
        embeddings: Tensor = self.head(self.trunk(self.input(crops)))
        return embeddings


def _stem(first: nn.Module) -> tuple[nn.Conv2d, nn.Module]:
    """The first stage's convolution with its BatchNorm folded, and its pooling."""
    *layers, pool = first.children()
    if isinstance(layers[0], ConvLayer):
        return fused(layers[0].conv, layers[0].bn), pool
    return fused(layers[0], layers[1]), pool


def _folded(module: nn.Module, streams: Streams) -> nn.Module:
    if isinstance(module, OSBlock):
        return FoldedBlock(module, streams)
    if isinstance(module, Bottleneck):
        return FoldedBottleneck(module)
    if isinstance(module, ConvLayer):
        return nn.Sequential(fused(module.conv, module.bn), nn.ReLU())
    if isinstance(module, nn.Sequential):
        children = [_folded(child, streams) for child in module]
        if streams == "merged" and isinstance(module[-1], nn.AvgPool2d):
            channels = next(weights.shape[0] for weights in children[0].parameters())
            children[-1] = mean_convolution(channels)
        return nn.Sequential(*children)
    if isinstance(module, PartAttention):
        module = copy.deepcopy(module)
        _fold_norms(module)
    return module


class FoldedInput(nn.Module):
    """Crops less the mean pixel, then the stem's convolution with 1 / (255 std) in its weights.

    The mean stays out of the bias: the convolution pads with zeros, and those must stand for the mean pixel.
    """

    row: Tensor

    def __init__(self, stem: nn.Conv2d, modality: Modality, size: tuple[int, int]) -> None:
        super().__init__()
        self.conv = stem
        self.conv.weight.data = self.conv.weight.data / (255 * torch.tensor(STD).reshape(1, 3, 1, 1))
        self.size = size
        self.mean = [255 * value for value in MEAN]
        self.is_visible = modality == "visible"
        if self.is_visible:
            self.conv.weight.data = self.conv.weight.data.flip(1)  # crops are BGR
            # A whole picture row of means: with the three values alone onnxruntime subtracts ten times slower.
            self.register_buffer("row", torch.tensor(self.mean[::-1]).repeat(size[1]))

    def forward(self, crops: Tensor) -> Tensor:
        """`(B, H, W, 3)` BGR or `(B, H, W) -> (B, C, H / 2, W / 2)`, before the ReLU."""
        if self.is_visible:
            height, width = self.size
            centred = crops.reshape(-1, height, width * 3).float() - self.row
            images = centred.reshape(-1, height, width, 3).permute(0, 3, 1, 2).contiguous()
        else:
            grey = crops.unsqueeze(1).float()
            images = torch.cat([grey - value for value in self.mean], dim=1)
        maps: Tensor = self.conv(images)
        return maps


class FoldedBottleneck(nn.Module):
    """A block of ResNet-50 without BatchNorms: `(B, C_in, h, w) -> (B, C, h', w')`."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        pairs = [(block.get_submodule(f"conv{k}"), block.get_submodule(f"bn{k}")) for k in (1, 2, 3)]
        self.reduce, self.spatial, self.expand = (fused(*pair) for pair in pairs)
        self.skip = nn.Identity() if block.downsample is None else fused(*block.get_submodule("downsample").children())

    def forward(self, maps: Tensor) -> Tensor:
        mixed = self.expand(F.relu(self.spatial(F.relu(self.reduce(maps)))))
        return F.relu(mixed + self.skip(maps))


class EmbeddingOf(nn.Module):
    """A head without BatchNorms, for those that have no faster form: `(B, C, h, w) -> (B, D)`, unit norm."""

    def __init__(self, head: EmbeddingHead) -> None:
        super().__init__()
        self.head = copy.deepcopy(head)
        _fold_norms(self.head)

    def forward(self, maps: Tensor) -> Tensor:
        return self.head.embedding(self.head(maps))


class FoldedHead(nn.Module):
    """The embedding head with all its stripes as one matrix product: `(B, C, h, w) -> (B, D)`, unit norm."""

    means: Tensor
    rests: Tensor

    @staticmethod
    def fits(head: EmbeddingHead) -> bool:
        """Whether it is made of the global feature and related stripes."""
        related = all(isinstance(block, PartRelations) for block in head.granularities)
        return bool(related and len(head.granularities) and head.balanced and head.whole_dim and not head.semantic)

    def __init__(self, head: EmbeddingHead, rows: int) -> None:
        super().__init__()
        blocks = [block for block in head.granularities if isinstance(block, PartRelations)]
        self.counts = [block.count for block in blocks]
        self.blocks = nn.ModuleList(FoldedRelations(block) for block in blocks)
        self.register_buffer("means", _means(rows, self.counts))
        self.register_buffer("rests", block_diagonal((1 - torch.eye(n)) / (n - 1) for n in self.counts))
        self.whole_neck, self.parts_neck = (Affine(neck) for neck in (head.whole_neck, head.parts_neck) if neck)

    def forward(self, maps: Tensor) -> Tensor:
        pooled = torch.matmul(cubed_rows(maps), self.means).pow(1 / 3).transpose(1, 2)
        whole, stripes = torch.split(pooled, [1, sum(self.counts)], dim=1)
        rests = torch.matmul(self.rests, stripes)
        pairs = zip(*(torch.split(each, self.counts, dim=1) for each in (stripes, rests)), strict=True)
        parts = torch.cat([block(*pair) for block, pair in zip(self.blocks, pairs, strict=True)], dim=1)
        halves = self.whole_neck(whole.squeeze(1)), self.parts_neck(parts)
        # Two unit vectors side by side have length sqrt(2).
        return torch.cat([half / (2**0.5 * half.norm(dim=1, keepdim=True)).clamp(min=1e-12) for half in halves], dim=1)


class FoldedRelations(nn.Module):
    """The three maps of one granularity: `(B, n, C)` stripes and the means of their rests `-> (B, n d)`."""

    def __init__(self, block: PartRelations) -> None:
        super().__init__()
        self.local, self.rest, self.relation = (
            nn.Sequential(linear(fused(layers[0], layers[1])), nn.ReLU())
            for layers in (block.local, block.rest, block.relation)
        )
        self.count = block.count

    def forward(self, stripes: Tensor, rests: Tensor) -> Tensor:
        # Two dimensions, so that each layer is one Gemm, bias and all.
        local, rest = self.local(stripes.flatten(0, 1)), self.rest(rests.flatten(0, 1))
        parts: Tensor = local + self.relation(torch.cat([local, rest], dim=1))
        return parts.reshape(-1, self.count * parts.shape[1])


class Affine(nn.Module):
    """What a BatchNorm does at inference: `(B, C) -> (B, C)`."""

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: nn.BatchNorm1d) -> None:
        super().__init__()
        zero, one = torch.zeros(1, norm.num_features), torch.ones(1, norm.num_features)
        self.register_buffer("shift", norm(zero))
        self.register_buffer("scale", norm(one) - norm(zero))

    def forward(self, features: Tensor) -> Tensor:
        return features * self.scale + self.shift


def _fold_norms(module: nn.Module) -> None:
    """Fold the BatchNorms inside of a module into the convolutions before or after them, or make them one product and
    one sum."""
    for name, child in module.named_children():
        if isinstance(child, PixelClassifier):
            module.register_module(name, _after_norm(*child))
        elif isinstance(child, nn.Sequential) and len(child) > 1 and isinstance(child[1], nn.BatchNorm2d):
            module.register_module(name, nn.Sequential(fused(child[0], child[1]), *child[2:]))
        elif isinstance(child, nn.BatchNorm1d):
            module.register_module(name, Affine(child))
        else:
            _fold_norms(child)


def _after_norm(norm: nn.Module, conv: nn.Module) -> nn.Conv2d:
    """One convolution for a BatchNorm and the 1x1 convolution after it."""
    if not (isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)) or conv.bias is None:
        raise TypeError(f"a BatchNorm2d and a Conv2d expected, got {type(norm).__name__} and {type(conv).__name__}")
    folded = copy.deepcopy(conv)
    zero, one = (torch.full((1, norm.num_features, 1, 1), value) for value in (0.0, 1.0))
    shift = norm(zero)
    folded.bias = nn.Parameter(conv(shift).flatten())
    folded.weight.data = conv.weight * (norm(one) - shift)
    return folded


def _means(rows: int, counts: list[int]) -> Tensor:
    """`(h, 1 + N)`: column 0 averages all rows, the others the rows of one stripe each."""
    bounds = [(0, rows)] + [bound for count in counts for bound in stripe_bounds(rows, count)]
    means = torch.zeros(rows, len(bounds))
    for column, (first, last) in enumerate(bounds):
        means[first:last, column] = 1 / (last - first)
    return means
