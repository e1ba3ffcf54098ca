"""Recipe `sdm-mgim`: a light two-stream OSNet with self-distillation and multi-granularity information mining.

Re-implementation from the abstract of Zhang and Zeng (J. Supercomputing, 2024, 10.1007/s11227-024-06543-6) and related
work; the sizes and weights below are this project's, not known to be the authors'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from edge_reid.errors import UserError
from edge_reid.recipes.base import Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edge_reid.models.output import People, TrainingOutput
    from edge_reid.models.two_stream import TwoStream


@dataclass(frozen=True, kw_only=True)
class SdmMgim(Recipe):
    """The deepest classifier teaches shallow ones; stripes at several granularities know their relations."""

    epochs: ClassVar[int] = 120
    arch: Literal["osnet", "resnet50"] = "osnet"
    share_from: int = 2
    granularities: tuple[int, ...] = (2, 3, 6)
    semantic_parts: int = 5
    part_dim: int = 128
    relation: Literal["none", "one_vs_rest", "self_attention"] = "one_vs_rest"
    optimizer: Literal["sgd", "adamw"] = "adamw"
    learning_rate: float = 6e-4
    trunk_rate: float = 1.0
    schedule: Literal["steps", "cosine"] = "cosine"
    warm_up: float = 0.08
    augment: Literal["light", "erasing", "channels", "synthetic"] = "synthetic"
    smoothing: float = 0.1
    attribute_weight: float = 1.0
    parsing_weight: float = 1.0

    students: tuple[int, ...] = (1, 2, 3)
    """Stages whose maps have a student; none turns the self-distillation off."""
    distillation_weight: float = 1.0
    """Of the self-distillation, beside identity_weight: the students learn identities, too."""
    distillation_alpha: float = 0.3
    """Share of the teacher's word against the label's."""
    distillation_beta: float = 0.5
    """Weight of the distance between student and teacher feature."""
    temperature: float = 3.0
    """Of the distillation."""
    teacher_from: float = 0.1
    """Share of the training after which the teacher counts in full."""

    def __post_init__(self) -> None:
        """Refuse numbers that no network can have."""
        super().__post_init__()
        if not self.whole or any(not 0 <= stage <= 3 for stage in self.students):
            raise UserError(f"students {self.students}: of stages 0 to 3, and they need the global feature as teacher")
        if self.temperature <= 0:
            raise UserError(f"temperature {self.temperature}: above 0")

    def auxiliaries(self, network: TwoStream, people: People) -> dict[str, nn.Module]:
        """The students."""
        from edge_reid.models.students import Students

        if not self.students:
            return {}
        return {"students": Students(network.channels, network.head.whole_dim, self.students, people.identities)}

    def terms(self, output: TrainingOutput, progress: float) -> dict[str, tuple[float, Tensor]]:
        """With the self-distillation, mean over the students."""
        import torch

        from edge_reid import losses

        terms = super().terms(output, progress)
        if not self.students:
            return terms
        students, teacher = output.extras["students"], (output.deepest_logits, output.head.whole)
        ramp = min(1.0, progress / max(self.teacher_from, 1e-9))
        values = [
            losses.self_distillation(
                student, teacher, output.targets.identities, alpha=self.distillation_alpha,
                beta=self.distillation_beta, temperature=self.temperature, ramp=ramp,
            )
            for student in zip(students.logits.unbind(1), students.features.unbind(1), strict=True)
        ]  # fmt: skip
        weight = self.distillation_weight * self.identity_weight
        return terms | {"distillation": (weight, torch.stack(values).mean())}
