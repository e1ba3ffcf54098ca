"""Recipe `psfl`: shared parameters, coarse and fine features, and center alignment.

Re-implementation from the abstract of Chan et al. (Complex & Intelligent Systems, 2024, 10.1007/s40747-023-01189-y) and
related work; which layers are shared, the sizes and the weights are this project's, not known to be the authors'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edge_reid.recipes.base import Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from edge_reid.models.output import TrainingOutput


@dataclass(frozen=True, kw_only=True)
class Psfl(Recipe):
    """All convolutions are shared, the first BatchNorms are not; a global feature and four stripes."""

    share_from: int = 2
    share_mode: Literal["stage", "conv"] = "conv"
    granularities: tuple[int, ...] = (4,)
    balanced: bool = False
    augment: Literal["light", "erasing", "channels", "synthetic"] = "erasing"
    size: tuple[int, int] = (384, 192)

    alignment: Literal["cluster", "relation", "contrast", "off"] = "relation"
    """Of the global feature: to the centres, also alike in their relations, as a contrast, or none."""
    alignment_weight: float = 0.5

    def terms(self, output: TrainingOutput, progress: float) -> dict[str, tuple[float, Tensor]]:
        """The global feature has center alignment for its metric loss, the stripes the hetero-center triplet."""
        from edge_reid import losses

        terms = super().terms(output, progress)
        if not self.whole or self.alignment == "off":
            return terms
        told = (output.head.whole, output.targets.identities, output.targets.modalities)
        if self.alignment == "contrast":
            value = losses.center_contrast(*told)
        else:
            value = losses.center_alignment(*told, relation_weight=float(self.alignment == "relation"))
        return terms | {"alignment": (self.alignment_weight, value)}

    def metric_term(self, output: TrainingOutput) -> dict[str, tuple[float, Tensor]]:
        """Of the stripes only; of the global feature where there are none and nothing aligns it."""
        import torch

        parts = output.head.parts.unbind(1)
        if not parts:
            return super().metric_term(output) if self.alignment == "off" else {}
        return {"center": (1.0, torch.stack([self.metric_loss(part, output) for part in parts]).mean())}
