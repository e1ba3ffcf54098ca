"""From the last map to the embedding: a global feature, and parts cut as stripes or found by what they show.

Shapes: B images, C channels of the last map, h x w its size, N parts in all, d a part's size, K parts of a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_reid.models.attention import PixelClassifier

SMALLEST = 1e-6
"""Below this a map's value counts as this much: the cube root's slope at zero is infinite."""

VISIBLE = 0.5
"""A part is seen where its mask is above this at one place at least."""

Relation = Literal["none", "one_vs_rest", "self_attention"]


class HeadOutput(NamedTuple):
    """What the losses see: metric losses take the features, classifiers their normalised (`bn`) versions."""

    whole: Tensor
    """`(B, C)` global feature before its BatchNorm; `(B, 0)` in a network of parts only."""
    whole_bn: Tensor
    """`(B, C)`"""
    parts: Tensor
    """`(B, N, d)` part features before their BatchNorm; N may be 0."""
    parts_bn: Tensor
    """`(B, N, d)`"""
    seen: Tensor | None = None
    """`(B, N)` 0 or 1, which parts the picture shows; None when all count."""
    part_logits: Tensor | None = None
    """`(B, K + 1, h, w)` what each place shows, 0 the background; None without semantic parts."""


class EmbeddingHead(nn.Module):
    """The global GeM feature with its BNNeck, and blocks of parts with theirs: `(B, C, h, w) -> HeadOutput`."""

    def __init__(
        self, channels: int, blocks: Sequence[Stripes], *, whole: bool = True, semantic: SemanticParts | None = None,
        balanced: bool = True,
    ) -> None:  # fmt: skip
        """Put a head together.

        Args:
            channels: C.
            blocks: of stripes, one per granularity, all of one d.
            whole: whether the global feature is part of the embedding.
            semantic: parts found by what they show, of the same d.
            balanced: the global half and the parts half of the embedding have the same length.
        """
        super().__init__()
        self.whole_neck = neck(channels) if whole else None
        self.granularities = nn.ModuleList(blocks)
        self.semantic = semantic
        self.balanced = balanced
        sizes = [(block.count, block.part_dim) for block in blocks] + (
            [(semantic.count, semantic.part_dim)] if semantic else []
        )
        self.part_shape = (sum(count for count, _ in sizes), sizes[0][1] if sizes else 0)
        """(N, d)"""
        self.channels = channels
        self.whole_dim = channels if whole else 0
        parts = self.part_shape[0] * self.part_shape[1]
        self.parts_neck = neck(parts) if parts else None
        self.embedding_dim = self.whole_dim + parts
        if not self.embedding_dim:
            raise ValueError("a head needs the global feature or parts")

    def forward(self, maps: Tensor) -> HeadOutput:
        rows = cubed_rows(maps)
        whole = cube_root(rows.mean(2)) if self.whole_neck else rows[:, :0, 0]
        blocks = [block(rows) for block in self.granularities]
        seen = part_logits = None
        if self.semantic is not None:
            found, part_logits, visible = self.semantic(maps)
            seen = F.pad(visible, (sum(block.shape[1] for block in blocks), 0), value=1.0)  # stripes always are
            blocks.append(found)
        parts = torch.cat(blocks, dim=1) if blocks else rows[:, :0, :0]
        parts_bn = self.parts_neck(torch.flatten(parts, 1)).reshape(parts.shape) if self.parts_neck else parts
        return HeadOutput(
            whole, self.whole_neck(whole) if self.whole_neck else whole, parts, parts_bn, seen, part_logits
        )

    def embedding(self, output: HeadOutput) -> Tensor:
        """`(B, C + N * d)`, unit norm; parts that are not seen are zero."""
        parts = output.parts_bn if output.seen is None else output.parts_bn * output.seen.unsqueeze(2)
        halves = [half for half in (output.whole_bn, torch.flatten(parts, 1)) if half.shape[1]]
        if self.balanced:
            halves = [unit(half) for half in halves]
        return unit(torch.cat(halves, dim=1))


class Stripes(nn.Module):
    """`n` horizontal stripes of the map, GeM-pooled: cubed rows `(B, C, h) -> (B, n, d)`."""

    def __init__(self, channels: int, part_dim: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.part_dim = part_dim or channels

    def stripes(self, rows: Tensor) -> Tensor:
        """`(B, C, h) -> (B, C, n, 1)`"""
        bounds = stripe_bounds(rows.shape[2], self.count)
        return cube_root(torch.stack([rows[:, :, first:last].mean(2) for first, last in bounds], dim=2)).unsqueeze(3)


class PlainStripes(Stripes):
    """Stripes that know nothing of each other (PCB): as pooled where d is 0, else mapped to d by a layer each."""

    def __init__(self, channels: int, part_dim: int, count: int, *, own_layers: bool) -> None:
        """Make the layers, one per stripe with `own_layers`, else one for all."""
        super().__init__(channels, part_dim, count)
        layers = (count if own_layers else 1) if part_dim else 0
        self.local = nn.ModuleList(project(channels, part_dim) for _ in range(layers))

    def forward(self, rows: Tensor) -> Tensor:
        stripes = self.stripes(rows)
        if len(self.local) == 1:
            stripes = self.local[0](stripes)
        elif self.local:
            each = zip(self.local, torch.split(stripes, 1, dim=2), strict=True)
            stripes = torch.cat([layer(stripe) for layer, stripe in each], dim=2)
        return stripes.squeeze(3).transpose(1, 2)


class PartRelations(Stripes):
    """Multi-granularity information mining at one granularity: `n` stripes, each told about the rest of the body.

    Part i is `local(p_i) + relation([local(p_i), rest(mean of the other p_j)])` with p_i the GeM of stripe i. The three
    maps are shared by the stripes: with weights of their own they would outweigh the whole trunk.
    """

    def __init__(self, channels: int, part_dim: int, count: int) -> None:
        super().__init__(channels, part_dim, count)
        if count < 2:
            raise ValueError(f"a granularity needs two stripes or more to relate, got {count}")
        self.local = project(channels, self.part_dim)
        self.rest = project(channels, self.part_dim)
        self.relation = project(2 * self.part_dim, self.part_dim)

    def forward(self, rows: Tensor) -> Tensor:
        stripes = self.stripes(rows)
        others = (stripes.sum(2, keepdim=True) - stripes) * (1 / (self.count - 1))
        local = self.local(stripes)
        parts: Tensor = local + self.relation(torch.cat([local, self.rest(others)], dim=1))
        return parts.squeeze(3).transpose(1, 2)


class AttendingStripes(Stripes):
    """Stripes that ask each other: `l_i + W_o sum_j softmax_j(q_i k_j / sqrt(64)) l_j`, the control for `rest`."""

    KEY = 64

    def __init__(self, channels: int, part_dim: int, count: int) -> None:
        super().__init__(channels, part_dim, count)
        self.local = project(channels, self.part_dim)
        self.query, self.key = (nn.Linear(channels, self.KEY, bias=False) for _ in range(2))
        self.out = nn.Linear(self.part_dim, self.part_dim, bias=False)

    def forward(self, rows: Tensor) -> Tensor:
        stripes = self.stripes(rows)
        local = self.local(stripes).squeeze(3).transpose(1, 2)
        pooled = stripes.squeeze(3).transpose(1, 2)
        weights = (self.query(pooled) @ self.key(pooled).transpose(1, 2) / self.KEY**0.5).softmax(2)
        parts: Tensor = local + self.out(weights @ local)
        return parts


class SemanticParts(nn.Module):
    """Parts by what they show: each place's probabilities weigh the map's mean.

    `(B, C, h, w) ->` features `(B, K, d)`, logits `(B, K + 1, h, w)`, and `(B, K)` 1 where the part is seen, else 0.
    """

    def __init__(self, channels: int, part_dim: int, count: int) -> None:
        super().__init__()
        self.count, self.part_dim = count, part_dim
        self.parser = PixelClassifier(channels, count)
        self.reduce = nn.Conv1d(count * channels, count * part_dim, 1, groups=count, bias=False)
        self.norm = nn.BatchNorm1d(count * part_dim)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = self.parser(maps)
        masks = logits.float().softmax(1)[:, 1:].flatten(2)
        pooled = masks @ maps.float().flatten(2).transpose(1, 2) / (masks.sum(2, keepdim=True) + SMALLEST)
        reduced = F.relu(self.norm(self.reduce(pooled.flatten(1).unsqueeze(2)).squeeze(2)))
        seen = (masks.detach().amax(2) > VISIBLE).to(reduced.dtype)
        return reduced.reshape(-1, self.count, self.part_dim), logits, seen


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


def unit(vectors: Tensor) -> Tensor:
    """`(B, D)` over their lengths; as `F.normalize`, whose expansion would leave a shape in an exported graph."""
    lengths: Tensor = vectors.norm(dim=1, keepdim=True)
    return vectors / lengths.clamp(min=1e-12)


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


def project(inputs: int, outputs: int) -> nn.Sequential:
    """A 1x1 convolution, BatchNorm, ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())
