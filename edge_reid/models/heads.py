"""From the last map to the embedding: a global feature and parts at several granularities that know their relations.

Shapes: B images, C channels of the last map, h x w its size, N parts in all, d a part's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST = 1e-6
"""Below this a map's value counts as this much: the cube root's slope at zero is infinite."""


class HeadOutput(NamedTuple):
    """What the losses see: metric losses take the features, classifiers their normalised (`bn`) versions."""

    whole: Tensor
    """`(B, C)` global feature before its BatchNorm."""
    whole_bn: Tensor
    """`(B, C)`"""
    parts: Tensor
    """`(B, N, d)` part features before their BatchNorm."""
    parts_bn: Tensor
    """`(B, N, d)`"""

    def embedding(self) -> Tensor:
        """`(B, C + N * d)`, unit norm: the global half and the parts half weigh the same."""
        whole = F.normalize(self.whole_bn, dim=1)
        parts = F.normalize(torch.flatten(self.parts_bn, 1), dim=1)
        return F.normalize(torch.cat([whole, parts], dim=1), dim=1)


class EmbeddingHead(nn.Module):
    """The global GeM feature with its BNNeck, and the MGIM blocks with theirs: `(B, C, h, w) -> HeadOutput`."""

    def __init__(self, channels: int, granularities: Sequence[int], part_dim: int) -> None:
        super().__init__()
        self.whole_neck = neck(channels)
        self.granularities = nn.ModuleList(PartRelations(channels, part_dim, count) for count in granularities)
        self.parts_neck = neck(sum(granularities) * part_dim)
        self.embedding_dim = channels + sum(granularities) * part_dim

    def forward(self, maps: Tensor) -> HeadOutput:
        rows = cubed_rows(maps)
        whole = cube_root(rows.mean(2))
        parts = torch.cat([block(rows) for block in self.granularities], dim=1)
        parts_bn = self.parts_neck(torch.flatten(parts, 1)).reshape(parts.shape)
        return HeadOutput(whole, self.whole_neck(whole), parts, parts_bn)


class PartRelations(nn.Module):
    """Multi-granularity information mining at one granularity: `n` stripes, each told about the rest of the body.

    Part i is `local(p_i) + relation([local(p_i), rest(mean of the other p_j)])` with p_i the GeM of stripe i. The three
    maps are shared by the stripes: with weights of their own they would outweigh the whole trunk.
    """

    def __init__(self, channels: int, part_dim: int, count: int) -> None:
        super().__init__()
        if count < 2:
            raise ValueError(f"a granularity needs two stripes or more to relate, got {count}")
        self.count = count
        self.local = _project(channels, part_dim)
        self.rest = _project(channels, part_dim)
        self.relation = _project(2 * part_dim, part_dim)

    def forward(self, rows: Tensor) -> Tensor:
        """Cubed rows `(B, C, h) -> (B, n, d)`."""
        bounds = stripe_bounds(rows.shape[2], self.count)
        stripes = cube_root(torch.stack([rows[:, :, first:last].mean(2) for first, last in bounds], dim=2)).unsqueeze(3)
        others = (stripes.sum(2, keepdim=True) - stripes) * (1 / (self.count - 1))
        local = self.local(stripes)
        parts: Tensor = local + self.relation(torch.cat([local, self.rest(others)], dim=1))
        return parts.squeeze(3).transpose(1, 2)


def stripe_bounds(rows: int, count: int) -> list[tuple[int, int]]:
    """First and last-plus-one row of each of `count` stripes of nearly equal height that cover `rows` rows.

    Where `count` does not divide `rows`, neighbours overlap by a row (adaptive pooling's rule). Plain integers, so an
    exported graph holds constants.
    """
    return [(i * rows // count, -(-(i + 1) * rows // count)) for i in range(count)]


def cubed_rows(maps: Tensor) -> Tensor:
    """`(B, C, h, w) -> (B, C, h)`: each row's mean of cubes; averaged over rows and cube-rooted it is GeM with p = 3.

    float32 also under autocast: half precision's cubes overflow above 40.
    """
    positive = maps.float().clamp(min=SMALLEST)
    return (positive * positive * positive).mean(3)


def cube_root(values: Tensor) -> Tensor:
    """The positive cube root."""
    return values.pow(1 / 3)


def generalized_mean(maps: Tensor) -> Tensor:
    """GeM pooling with p = 3: `(B, C, h, w) -> (B, C)`."""
    return cube_root(cubed_rows(maps).mean(2))


def neck(size: int) -> nn.BatchNorm1d:
    """A BNNeck: BatchNorm with its shift frozen at zero, so that identity logits stay centred (Luo et al. 2019)."""
    layer = nn.BatchNorm1d(size)
    layer.bias.requires_grad_(False)
    return layer


def _project(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())
