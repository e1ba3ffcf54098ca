"""Train-only: what every person looked like in every view, and the teacher that this makes.

From what the abstract of MMFF-SD says (10.3724/SP.J.1089.2024.19886) and related work; the formulas are this project's.
Shapes: B rows of a step, C the global feature's size, I identities, S views per modality.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from edge_reid.models.output import Classify, TrainingOutput

Scope = Literal["other", "own", "both"]

MOST_VIEWS = 8
"""More cameras share the slots: camera s of a modality writes slot s modulo this."""


class MemoryOutput(NamedTuple):
    """What the memory knows of each row's person."""

    logits: Tensor
    """`(B, I)`"""
    features: Tensor
    """`(B, C)`"""
    valid: Tensor
    """`(B,)` bool: at least one view was there."""


class ViewMemory(nn.Module):
    """A running mean of the BNNeck feature per identity, modality and camera; first a copy, then (1 - s) old + s new.

    The teacher of a row is the mean of its person's views in the other modality, those weighing more of which the
    global classifier is surer who it is (softmax of log p).
    """

    features: Tensor
    written: Tensor

    def __init__(
        self, feature_dim: int, identities: int, cameras: int, *, share: float = 0.8, scope: Scope = "other"
    ) -> None:
        """Make an empty memory.

        Args:
            feature_dim: C.
            identities: I.
            cameras: of the modality that has more of them.
            share: s, of the new feature.
            scope: which modality's views teach.
        """
        super().__init__()
        self.views = min(cameras, MOST_VIEWS)
        self.share, self.scope = share, scope
        # Slot m S + s is view s of modality m. Three dimensions: four would be laid out anew as an image's are.
        self.register_buffer("features", torch.zeros(identities, 2 * self.views, feature_dim))
        self.register_buffer("written", torch.zeros(identities, 2 * self.views, dtype=torch.bool))

    def forward(self, output: TrainingOutput, classify: Classify) -> MemoryOutput:
        """What the views before this step say; then the step's own features are written."""
        targets = output.targets
        with torch.no_grad():
            said = self.teach(targets.identities, targets.modalities, classify)
            rows = [targets.identities, targets.modalities, targets.cameras, output.head.whole_bn.float()]
            self.write(*(_of_all_processes(row) for row in rows))
        return said

    def teach(self, identities: Tensor, modalities: Tensor, classify: Classify) -> MemoryOutput:
        """`(B,)` identities and modalities of the rows -> what their teacher says."""
        views, written = self.features[identities], self.written[identities]
        if self.scope != "both":
            side = modalities if self.scope == "own" else 1 - modalities
            slots = torch.arange(2 * self.views, device=side.device)
            written = written & (slots // self.views == side.unsqueeze(1))
        logits = classify(views.flatten(0, 1)).reshape(*views.shape[:2], -1)
        sure = logits.float().log_softmax(2).gather(2, identities.reshape(-1, 1, 1).expand(-1, views.shape[1], 1))
        valid = written.any(1)
        scores = sure.squeeze(2).masked_fill(~written & valid.unsqueeze(1), -torch.inf)
        taught = (scores.softmax(1).unsqueeze(2) * views).sum(1)
        return MemoryOutput(classify(taught), taught, valid)

    def write(self, identities: Tensor, modalities: Tensor, cameras: Tensor, features: Tensor) -> None:
        """Take `(B, C)` features in; pictures of one view in one step count as their mean."""
        slots = modalities * self.views + cameras % self.views
        keys, place = torch.unique(identities * 2 * self.views + slots, return_inverse=True)
        sums = features.new_zeros(len(keys), features.shape[1]).index_add_(0, place, features)
        means = sums / torch.bincount(place).unsqueeze(1)
        where = keys // (2 * self.views), keys % (2 * self.views)
        share = torch.where(self.written[where], self.share, 1.0).unsqueeze(1)
        self.features[where] = (1 - share) * self.features[where] + share * means
        self.written[where] = True


def _of_all_processes(rows: Tensor) -> Tensor:
    """The rows of all processes of a data-parallel run; these rows without one."""
    if not (dist.is_available() and dist.is_initialized()):
        return rows
    gathered = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, rows.contiguous())
    return torch.cat(gathered)
