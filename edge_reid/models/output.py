"""What a training network gives its losses.

Shapes: B rows of a step, visible first, then thermal, I identities, N parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from edge_reid.data.loader import Targets
from edge_reid.models.heads import HeadOutput
from edge_reid.models.two_stream import Maps


@dataclass(frozen=True, kw_only=True)
class People:
    """What a training network must know of the people that it learns."""

    identities: int
    cameras: int = 1
    """Of the modality that has more of them."""
    attribute_sizes: Sequence[int] = ()
    parsing: bool = False
    """Whether their pictures have part labels."""


class TrainingOutput(NamedTuple):
    """Everything the losses of a step can ask for."""

    maps: Maps
    """After the five stages."""
    head: HeadOutput
    logits: Tensor | None
    """`(B, I)` of the global feature."""
    part_logits: Tensor | None
    """`(B, N, I)`"""
    attribute_logits: list[Tensor]
    """`(B, values of the attribute)` each; empty without attributes."""
    parsing_logits: list[Tensor]
    """`(B, K + 1, h, w)` each: of the attention, of semantic parts, or of a train-only part head."""
    targets: Targets
    extras: dict[str, Any]
    """What a recipe's own train-only parts gave, by their names."""

    @property
    def deepest_logits(self) -> Tensor:
        """`(B, I)`: the global feature's, or in a network of parts their mean."""
        if self.logits is not None:
            return self.logits
        if self.part_logits is None:
            raise ValueError("a training network has the global feature or parts")
        return self.part_logits.mean(1)


Classify = Callable[[Tensor], Tensor]
"""The classifier of the global feature: `(R, C) -> (R, I)`."""
