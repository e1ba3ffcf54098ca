"""Recipe `mmff-sd`: a fusion of both modalities and a memory of all views teach the single picture.

Re-implementation from the abstract of Wan, Li and Zhang (J. Computer-Aided Design & Computer Graphics, 2024,
10.3724/SP.J.1089.2024.19886) and related work; formulas and weights are this project's, not known to be the authors'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edge_reid.errors import UserError
from edge_reid.recipes.base import Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edge_reid.models.output import People, TrainingOutput
    from edge_reid.models.two_stream import TwoStream


@dataclass(frozen=True, kw_only=True)
class MmffSd(Recipe):
    """At inference the network of `baseline` and nothing else."""

    metric: Literal["hetero_center", "hard", "weighted"] = "hard"

    fusion: Literal["attention", "mean", "off"] = "attention"
    """How a visible and a thermal picture become one feature: weighted by the modality classifiers, plainly, or not."""
    memory: Literal["other", "own", "both", "off"] = "other"
    """Which modality's remembered views teach a picture."""
    weighing: Literal["ratio", "entropy", "gap", "fixed"] = "ratio"
    """How much each teacher counts, see `edge_reid.losses.teacher_weights`."""
    modal_weight: float = 0.5
    """Of the modality classifiers."""
    fused_weight: float = 0.5
    """Of the fused feature's identity loss."""
    guidance_weight: float = 1.0
    guidance_from: float = 0.25
    """Share of the training before which nothing is taught."""
    guidance_full: float = 0.375
    """Share of the training after which the guidance counts in full."""
    temperature: float = 3.0
    """Of the guidance."""

    def __post_init__(self) -> None:
        """Refuse numbers that no network can have."""
        super().__post_init__()
        if not self.whole:
            raise UserError("recipe mmff-sd guides the global feature; it cannot do without")
        if self.temperature <= 0:
            raise UserError(f"temperature {self.temperature}: above 0")

    def auxiliaries(self, network: TwoStream, people: People) -> dict[str, nn.Module]:
        """Modality classifiers with the fusion, and the memory."""
        from edge_reid.models.fusion import ModalFusion
        from edge_reid.models.memory import ViewMemory

        size, parts = network.head.whole_dim, dict[str, "nn.Module"]()
        if self.fusion != "off":
            parts["fusion"] = ModalFusion(size, people.identities, self.fusion)
        if self.memory != "off":
            parts["memory"] = ViewMemory(size, people.identities, people.cameras, scope=self.memory)
        return parts

    def terms(self, output: TrainingOutput, progress: float) -> dict[str, tuple[float, Tensor]]:
        """With the modality classifiers, the fused feature and the guidance."""
        import torch

        from edge_reid import losses

        terms, extras, identities = super().terms(output, progress), output.extras, output.targets.identities
        teachers = []
        if self.fusion != "off":
            made = extras["fusion"]
            terms["modal"] = (2 * self.modal_weight, losses.identity_cross_entropy(made.own_logits, identities))
            terms["fused"] = (self.fused_weight, losses.identity_cross_entropy(made.logits, identities))
            everyone = torch.ones_like(identities, dtype=torch.bool)
            teachers.append(losses.Teacher(made.logits, made.fused, everyone))
        if self.memory != "off":
            known = extras["memory"]
            teachers.append(losses.Teacher(known.logits, known.features, known.valid))
        rise = (progress - self.guidance_from) / max(1e-9, self.guidance_full - self.guidance_from)
        ramp = min(1.0, max(0.0, rise))
        if teachers and ramp and output.logits is not None:
            value = losses.guidance(
                output.logits, output.head.whole_bn, teachers, identities, temperature=self.temperature,
                weighing=self.weighing,
            )  # fmt: skip
            terms["guidance"] = (self.guidance_weight * ramp, value)
        return terms
