"""Recipe `sdm-mgim`: a light two-stream OSNet with self-distillation and multi-granularity information mining.

Re-implementation from the abstract of Zhang and Zeng (J. Supercomputing, 2024, 10.1007/s11227-024-06543-6) and related
work; the sizes and weights below are this project's, not known to be the authors'.
Shapes: B rows of a step, visible first, A attributes, H x W the pictures' size.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Literal

from edge_reid.errors import UserError
from edge_reid.types import Json

if TYPE_CHECKING:
    from torch import Tensor

    from edge_reid.data.loader import Targets
    from edge_reid.models.build import TrainingOutput


WIDTHS = (1.0, 0.75, 0.5, 0.25)

_FACTORS = {1: (1.0,), 2: (0.5, 1.0), 3: (0.5, 0.75, 1.0)}
"""Picture sizes of a training in so many shares."""


@dataclass(frozen=True, kw_only=True)
class SdmMgim:
    """The network, the losses and the schedule."""

    width: float = 1.0
    """OSNet's width: 1.0, 0.75, 0.5 or 0.25."""
    share_from: int = 2
    """First stage that both modalities share, 0 (all) to 5 (none)."""
    share_mode: Literal["stage", "conv"] = "stage"
    """What is doubled below it: whole stages, or their BatchNorm only."""
    granularities: tuple[int, ...] = (2, 3, 6)
    """Stripes of each multi-granularity block."""
    part_dim: int = 128
    """Size of a part's feature."""
    size: tuple[int, int] = (288, 144)
    """Height and width of the pictures."""

    identities: int = 8
    """Identities of a step."""
    pictures: int = 4
    """Visible and thermal pictures of each."""
    learning_rate: float = 6e-4
    """Peak of warm-up and cosine (AdamW)."""
    weight_decay: float = 5e-4
    """Of the convolutions and linear layers."""
    warm_up: float = 0.08
    """Share of the training in which the learning rate rises."""
    clip: float = 10.0
    """Largest norm of the gradient."""
    shares: tuple[float, ...] = (1.0,)
    """Shares of the training at growing picture sizes, the last at full size: (0.8, 0.2) begins at half size, a third
    share between them is at three quarters."""

    smoothing: float = 0.1
    """Label smoothing of the identity losses."""
    identity_weight: float = 1.0
    """Of the identity losses of the whole, the parts and the students."""
    margin: float = 0.3
    """Of the hetero-center triplet loss."""
    distillation_weight: float = 1.0
    """Of the self-distillation of the three students."""
    distillation_alpha: float = 0.3
    """Share of the teacher's word against the label's."""
    distillation_beta: float = 0.5
    """Weight of the distance between student and teacher feature."""
    temperature: float = 3.0
    """Of the distillation."""
    teacher_from: float = 0.1
    """Share of the training after which the teacher counts in full."""
    attribute_weight: float = 1.0
    """Of the attributes, where the data knows some."""
    parsing_weight: float = 1.0
    """Of the part labels, where the data has some."""

    def __post_init__(self) -> None:
        """Refuse numbers that no network or schedule can have."""
        if self.width not in WIDTHS:
            raise UserError(f"width {self.width}: OSNet has the widths {', '.join(map(str, WIDTHS))}")
        if not self.granularities or min(self.granularities) < 2 or self.part_dim < 1:
            raise UserError(
                f"granularities {self.granularities}, part_dim {self.part_dim}: needs two stripes or more each"
            )
        if not 0 <= self.share_from <= 5:
            raise UserError(f"share_from {self.share_from}: the first shared stage is 0 to 5")
        if abs(sum(self.shares) - 1) > 1e-6 or len(self.shares) not in _FACTORS or min(self.shares) <= 0:
            raise UserError(f"shares {self.shares}: one to three shares of the training that add up to 1")
        if min(self.size) < 32 or any(side % 16 for side in self.size):
            raise UserError(f"size {self.size[0]}x{self.size[1]}: height and width must be multiples of 16, 32 or more")
        if self.identities < 2 or self.pictures < 1:
            raise UserError("identities must be at least 2 and pictures at least 1")
        if self.learning_rate <= 0 or not 0 <= self.warm_up < 1:
            raise UserError(f"learning_rate {self.learning_rate}, warm_up {self.warm_up}: above 0, and from 0 below 1")

    def size_at(self, progress: float) -> tuple[int, int]:
        """The pictures' size after a share `progress` (0..1) of the training."""
        done = 0.0
        for share, factor in zip(self.shares, _FACTORS[len(self.shares)], strict=True):
            done += share
            if progress < done - 1e-9:
                return (int(self.size[0] * factor), int(self.size[1] * factor))
        return self.size

    def loss(self, output: TrainingOutput, targets: Targets, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted total of a step and its terms, unweighted, by name; `progress` is the share of training done."""
        import torch  # a recipe's numbers are read where there is no torch

        from edge_reid import losses

        head, identities, modalities = output.head, targets.identities, targets.modalities
        ramp = min(1.0, progress / max(self.teacher_from, 1e-9))
        terms = {
            "identity": losses.identity_cross_entropy(output.logits, identities, self.smoothing)
            + losses.identity_cross_entropy(output.part_logits, identities, self.smoothing),
            "center": losses.hetero_center_triplet(head.whole, identities, modalities, self.margin)
            + losses.hetero_center_triplet(head.parts.flatten(1), identities, modalities, self.margin),
            "distillation": torch.stack(
                [
                    losses.self_distillation(
                        student, (output.logits, head.whole), identities, alpha=self.distillation_alpha,
                        beta=self.distillation_beta, temperature=self.temperature, ramp=ramp,
                    )
                    for student in zip(output.student_logits, output.student_features, strict=True)
                ]
            ).mean(),
        }  # fmt: skip
        weights = {
            "identity": self.identity_weight,
            "center": 1.0,
            "distillation": self.distillation_weight * self.identity_weight,
        }
        if output.attribute_logits:
            terms["attributes"] = losses.attribute_cross_entropy(output.attribute_logits, targets.attributes)
            weights["attributes"] = self.attribute_weight
        if output.parsing_logits is not None:
            terms["parsing"] = losses.parsing(output.parsing_logits, targets.parts)
            weights["parsing"] = self.parsing_weight
        return torch.stack([weights[name] * term for name, term in terms.items()]).sum(), terms

    def as_json(self) -> dict[str, Json]:
        """The numbers as JSON values, tuples as lists."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, numbers: dict[str, Json]) -> SdmMgim:
        """The recipe of a checkpoint; numbers that this version does not know are refused, not ignored."""
        known = {field.name for field in fields(cls)}
        if unknown := set(numbers) - known:
            raise UserError(f"recipe number {sorted(unknown)[0]!r} is not known to this version; upgrade edge-reid")
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in numbers.items()})  # type: ignore[arg-type]
