"""What all recipes have in common: the numbers of network, losses and schedule, and the losses that most of them use.

Shapes: B rows of a step, visible first, H x W the pictures' size.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

from edge_reid.errors import UserError
from edge_reid.types import Json

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edge_reid.models.output import People, TrainingOutput
    from edge_reid.models.two_stream import TwoStream

WIDTHS = (1.0, 0.75, 0.5, 0.25)

_FACTORS = {1: (1.0,), 2: (0.5, 1.0), 3: (0.5, 0.75, 1.0)}
"""Picture sizes of a training in so many shares."""

Terms = "dict[str, tuple[float, Tensor]]"
"""The terms of a loss by name: weight and value."""

Kind = TypeVar("Kind", bound="Recipe")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The numbers, which a recipe sets as it needs them, and the losses of a two-stream network with a BNNeck."""

    epochs: ClassVar[int] = 81
    """Of a training that is not told how many; AGW's and MMN's number."""

    arch: Literal["osnet", "resnet50"] = "resnet50"
    """The trunk."""
    width: float = 1.0
    """OSNet's width: 1.0, 0.75, 0.5 or 0.25."""
    share_from: int = 1
    """First stage that both modalities share, 0 (all) to 5 (none)."""
    share_mode: Literal["stage", "conv"] = "stage"
    """What is doubled below it: whole stages, or their BatchNorm only."""
    attention_after: tuple[int, ...] = ()
    """Stages whose maps pass through part attention."""
    whole: bool = True
    """Whether the global feature is part of the embedding."""
    granularities: tuple[int, ...] = ()
    """Stripes of each block of parts."""
    part_dim: int = 0
    """Size of a part's feature; 0 leaves stripes as they are pooled."""
    relation: Literal["none", "one_vs_rest", "self_attention"] = "none"
    """What a stripe is told about the others of its block."""
    own_layers: bool = False
    """Unrelated stripes: whether each has a layer of its own to part_dim, or all of a block have one."""
    semantic_head: bool = False
    """Whether there are parts that are found by what they show."""
    semantic_parts: int = 6
    """Parts of a person, the background not counted, for attention and semantic head."""
    balanced: bool = True
    """Whether the global half and the parts half of the embedding have the same length."""
    layers: tuple[str, ...] = ()
    """Layers that pruning narrowed, each as NAME INPUTS OUTPUTS."""
    size: tuple[int, int] = (288, 144)
    """Height and width of the pictures."""

    identities: int = 8
    """Identities of a step."""
    pictures: int = 4
    """Visible and thermal pictures of each."""
    augment: Literal["light", "erasing", "channels", "synthetic"] = "light"
    """How pictures are changed, see `edge_reid.data.transforms`."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """SGD with Nesterov's momentum 0.9, or AdamW."""
    learning_rate: float = 0.1
    """Peak."""
    trunk_rate: float = 0.1
    """Factor of the learning rate for the trunk: below 1 it keeps more of its pretraining."""
    weight_decay: float = 5e-4
    """Of the convolutions and linear layers."""
    schedule: Literal["steps", "cosine"] = "steps"
    """After the warm-up: two drops, or a cosine."""
    warm_up: float = 10 / 81
    """Share of the training in which the learning rate rises; AGW's 10 of 81 epochs."""
    drops: tuple[float, float] = (20 / 81, 50 / 81)
    """Shares of the training after which it is a tenth and a hundredth of its peak; AGW's 20 and 50 of 81 epochs."""
    clip: float = 10.0
    """Largest norm of the gradient."""
    shares: tuple[float, ...] = (1.0,)
    """Shares of the training at growing picture sizes, the last at full size: (0.8, 0.2) begins at half size, a third
    share between them is at three quarters."""

    smoothing: float = 0.0
    """Label smoothing of the embedding's own classifiers; those that only teach have none."""
    identity_weight: float = 1.0
    """Of the identity losses."""
    metric: Literal["hetero_center", "hard", "weighted"] = "hetero_center"
    """The metric loss: of centres, batch-hard, or weighted and regularised."""
    metric_of_parts: Literal["each", "joined", "both"] = "each"
    """Parts get it one by one, as one long feature, or both."""
    margin: float = 0.3
    """Of the metric loss."""
    attribute_weight: float = 0.0
    """Of the attributes, where the data knows some; 0 leaves them out."""
    parsing_weight: float = 0.0
    """Of the part labels, where the data has some; 0 leaves them out."""
    parsing_smoothing: float = 0.0
    """Label smoothing of the part labels."""

    def __post_init__(self) -> None:
        """Refuse numbers that no network or schedule can have."""
        self._check_network()
        if not (0 <= self.smoothing < 1 and self.clip > 0):
            raise UserError(f"smoothing {self.smoothing}, clip {self.clip}: from 0 below 1, and above 0")
        if abs(sum(self.shares) - 1) > 1e-6 or len(self.shares) not in _FACTORS or min(self.shares) <= 0:
            raise UserError(f"shares {self.shares}: one to three shares of the training that add up to 1")
        if self.identities < 2 or self.pictures < 1:
            raise UserError("identities must be at least 2 and pictures at least 1")
        if not 0 < self.drops[0] <= self.drops[1]:
            raise UserError(f"drops {self.drops}: two shares of the training, the smaller one first")
        if self.learning_rate <= 0 or not 0 <= self.warm_up < 1:
            raise UserError(f"learning_rate {self.learning_rate}, warm_up {self.warm_up}: above 0, and from 0 below 1")

    def uneven(self) -> list[int]:
        """Stripes into which the last map's rows do not divide evenly; pooled all the same, neighbours share rows."""
        rows = self.size[0] // 16
        return [count for count in self.granularities if rows % count]

    def _check_network(self) -> None:
        if self.width not in WIDTHS:
            raise UserError(f"width {self.width}: OSNet has the widths {', '.join(map(str, WIDTHS))}")
        if self.arch != "osnet" and self.width != 1.0:
            raise UserError(f"width {self.width}: ResNet-50 has one width; add --arch osnet")
        if self.semantic_parts < 2:
            raise UserError(f"semantic_parts {self.semantic_parts}: two or more")
        least = 1 if self.relation == "none" else 2
        if any(count < least for count in self.granularities):
            raise UserError(f"granularities {self.granularities}: needs {least} or more stripes each")
        projected = self.relation != "none" or self.semantic_head
        if self.part_dim < projected:
            raise UserError(f"part_dim {self.part_dim}: needs 1 or more, 0 is for unrelated stripes only")
        if not (self.whole or self.granularities or self.semantic_head):
            raise UserError("whole False: without granularities or semantic_head nothing is left to embed")
        if not 0 <= self.share_from <= 5:
            raise UserError(f"share_from {self.share_from}: the first shared stage is 0 to 5")
        if any(not self.share_from <= stage <= 4 for stage in self.attention_after):
            raise UserError(f"attention_after {self.attention_after}: needs shared stages, {self.share_from} to 4")
        if min(self.size) < 32 or any(side % 16 for side in self.size):
            raise UserError(f"size {self.size[0]}x{self.size[1]}: height and width must be multiples of 16, 32 or more")

    @property
    def takes_part_labels(self) -> bool:
        """Whether label maps of the pictures are of use to it."""
        return True

    def size_at(self, progress: float) -> tuple[int, int]:
        """The pictures' size after a share `progress` (0..1) of the training."""
        done = 0.0
        for share, factor in zip(self.shares, _FACTORS[len(self.shares)], strict=True):
            done += share
            if progress < done - 1e-9:
                return (int(self.size[0] * factor), int(self.size[1] * factor))
        return self.size

    def auxiliaries(self, network: TwoStream, people: People) -> dict[str, nn.Module]:
        """Train-only parts beyond classifiers and heads for what the data knows, by name.

        Each is called with the `TrainingOutput` so far and the global feature's classifier; what it returns becomes an
        extra.
        """
        return {}

    def loss(self, output: TrainingOutput, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted total of a step and its terms, unweighted, by name; `progress` is the share of training done."""
        import torch

        terms = self.terms(output, progress)
        total = torch.stack([weight * value for weight, value in terms.values()]).sum()
        return total, {name: value for name, (_, value) in terms.items()}

    def terms(self, output: TrainingOutput, progress: float) -> dict[str, tuple[float, Tensor]]:
        """Weight and value of each term; a recipe adds its own to these."""
        terms = {"identity": (self.identity_weight, self.identity_loss(output)), **self.metric_term(output)}
        return terms | self.known_terms(output)

    def identity_loss(self, output: TrainingOutput) -> Tensor:
        """Cross-entropy of the global feature plus the mean of the parts'."""
        from edge_reid import losses

        identities = output.targets.identities
        kinds = [logits for logits in (output.logits, output.part_logits) if logits is not None]
        total: Tensor = sum(  # type: ignore[assignment]  # of one tensor at least
            losses.identity_cross_entropy(logits, identities, self.smoothing) for logits in kinds
        )
        return total

    def metric_term(self, output: TrainingOutput) -> dict[str, tuple[float, Tensor]]:
        """The metric loss of the global feature plus that of the parts."""
        import torch

        head, values = output.head, []
        if self.whole:
            values.append(self.metric_loss(head.whole, output))
        if head.parts.shape[1]:
            if self.metric_of_parts != "joined":
                values.append(torch.stack([self.metric_loss(part, output) for part in head.parts.unbind(1)]).mean())
            if self.metric_of_parts != "each":
                values.append(self.metric_loss(head.parts.flatten(1), output))
        return {"center" if self.metric == "hetero_center" else "triplet": (1.0, torch.stack(values).sum())}

    def metric_loss(self, features: Tensor, output: TrainingOutput) -> Tensor:
        """Of one feature `(B, D)`."""
        from edge_reid import losses

        targets = output.targets
        if self.metric == "hard":
            return losses.hard_triplet(features, targets.identities, self.margin)
        if self.metric == "weighted":
            return losses.weighted_triplet(features, targets.identities)
        return losses.hetero_center_triplet(features, targets.identities, targets.modalities, self.margin)

    def known_terms(self, output: TrainingOutput) -> dict[str, tuple[float, Tensor]]:
        """Attributes and part labels, where the data knows some."""
        import torch

        from edge_reid import losses

        terms, targets = {}, output.targets
        if output.attribute_logits:
            value = losses.attribute_cross_entropy(output.attribute_logits, targets.attributes)
            terms["attributes"] = (self.attribute_weight, value)
        if output.parsing_logits:
            told = targets.parts, self.parsing_smoothing
            values = [losses.parsing(logits, *told) for logits in output.parsing_logits]
            terms["parsing"] = (self.parsing_weight, torch.stack(values).mean())
        return terms

    def as_json(self) -> dict[str, Json]:
        """The numbers as JSON values, tuples as lists."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls: type[Kind], numbers: dict[str, Json]) -> Kind:
        """The recipe of a checkpoint; numbers that this version does not know are refused, not ignored."""
        known = {field.name for field in fields(cls)}
        if unknown := set(numbers) - known:
            raise UserError(f"recipe number {sorted(unknown)[0]!r} is not known to this version; upgrade edge-reid")
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in numbers.items()})  # type: ignore[arg-type]
