"""Recipe `cscl`: attention to parts, semantic parts, and identity-aware center mining.

Re-implementation from the abstract of Liu et al. (IEEE TMM, 2025, 10.1109/TMM.2024.3521843) and related work; stages,
sizes, formulas and weights are this project's, not known to be the authors'.
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
class Cscl(Recipe):
    """The network learns from part labels where a person's parts are; no parser is needed at inference."""

    attention_after: tuple[int, ...] = (2, 3)
    semantic_head: bool = True
    part_dim: int = 256
    parsing_weight: float = 0.1
    parsing_smoothing: float = 0.1

    labels: Literal["data", "self", "off"] = "data"
    """Where part labels come from: beside the pictures, from the network's own maps, or nowhere (a control)."""
    division_weight: float = 0.5
    division_from: float = 0.06
    """Share of the training after which it counts: the part labels must lead."""
    mining_weight: float = 0.5

    @property
    def takes_part_labels(self) -> bool:
        """Whether label maps of the pictures are of use to it."""
        return self.labels == "data"

    def auxiliaries(self, network: TwoStream, people: People) -> dict[str, nn.Module]:
        """The provider of part labels, with `labels` "self".

        Raises:
            UserError: the parts are to be learnt from labels, and there are none.
        """
        from edge_reid.models.self_parts import SelfParts

        if self.labels == "self":
            return {"self_parts": SelfParts(network.channels[4], self.semantic_parts)}
        finds_parts = self.semantic_head or self.attention_after
        if self.labels == "data" and finds_parts and self.parsing_weight > 0 and not people.parsing:
            raise UserError(
                "recipe cscl learns from part labels and there are none: give a folder of label maps with --parts, "
                "or pass --set labels=self"
            )
        return {}

    def terms(self, output: TrainingOutput, progress: float) -> dict[str, tuple[float, Tensor]]:
        """With division of the parts' masks and center mining of the global feature."""
        from edge_reid import losses

        terms, head = super().terms(output, progress), output.head
        if head.part_logits is not None and self.division_weight and progress >= self.division_from:
            masks = head.part_logits.float().softmax(1)[:, 1:]
            terms["division"] = (self.division_weight, losses.division(masks))
        if self.whole and self.mining_weight:
            mined = losses.identity_center_mining(head.whole, output.targets.identities, output.targets.modalities)
            terms["mining"] = (self.mining_weight, mined)
        return terms

    def identity_loss(self, output: TrainingOutput) -> Tensor:
        """A part counts where the picture shows it."""
        from edge_reid import losses

        seen, logits = output.head.seen, output.part_logits
        if seen is None or logits is None:
            return super().identity_loss(output)
        identities = output.targets.identities
        parts = losses.identity_cross_entropy(logits, identities, self.smoothing, weights=seen)
        if output.logits is None:
            return parts
        return parts + losses.identity_cross_entropy(output.logits, identities, self.smoothing)

    def metric_term(self, output: TrainingOutput) -> dict[str, tuple[float, Tensor]]:
        """A part counts by the share of the step's pictures that show it."""
        import torch

        head, seen = output.head, output.head.seen
        if seen is None:
            return super().metric_term(output)
        costs = torch.stack([self.metric_loss(part, output) for part in head.parts.unbind(1)])
        shares = seen.float().mean(0)
        value = (shares * costs).sum() / shares.sum().clamp(min=1e-12)
        if self.whole:
            value = value + self.metric_loss(head.whole, output)
        return {"center" if self.metric == "hetero_center" else "triplet": (1.0, value)}

    def known_terms(self, output: TrainingOutput) -> dict[str, tuple[float, Tensor]]:
        """Part labels of the data, or the network's own."""
        import torch

        from edge_reid import losses

        if self.labels == "data" or not output.parsing_logits:
            return super().known_terms(output)
        terms = super().known_terms(output._replace(parsing_logits=[]))
        if self.labels == "self":
            own = output.extras["self_parts"]
            values = [losses.parsing(logits, own, self.parsing_smoothing) for logits in output.parsing_logits]
            terms["parsing"] = (self.parsing_weight, torch.stack(values).mean())
        return terms
