"""Train-only: part labels without a parser, from the network's own maps.

Which places are a person and which of its parts they show follows from clustering, as in ISP (ECCV 2020), here one step
at a time so that no pass over the data is needed.
Shapes: B rows of a step, C channels of the last map, h x w its size, K parts.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from edge_reid.models.output import Classify, TrainingOutput

MOMENTUM = 0.99

STEPS = 10
"""Of the two-means that parts person from background."""


class SelfParts(nn.Module):
    """Labels `(B, h, w)`, uint8, 0 the background, 1..K from head to foot.

    Strong places of a map are the person: two means of the maps' norms, per identity, over all its pictures. Each such
    place is the part whose prototype its direction is nearest. Prototypes begin as the means of K horizontal bands and
    follow what is assigned to them.
    """

    prototypes: Tensor
    begun: Tensor

    def __init__(self, channels: int, parts: int) -> None:
        super().__init__()
        self.register_buffer("prototypes", torch.zeros(parts, channels))
        self.register_buffer("begun", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def forward(self, output: TrainingOutput, classify: Classify) -> Tensor:
        maps = output.maps[-1].detach().float()
        person = foreground(maps, output.targets.identities)
        unit = F.normalize(maps, dim=1).movedim(1, -1)
        parts, height = len(self.prototypes), maps.shape[2]
        if not bool(self.begun):
            bands = torch.arange(height, device=maps.device) * parts // height
            self._set(unit, torch.where(person, bands[None, :, None] + 1, 0), momentum=0.0)
            self.begun.fill_(True)
        nearest = (unit @ F.normalize(self.prototypes, dim=1).T).argmax(3) + 1
        labels = torch.where(person, nearest, 0)
        self._set(unit, labels, momentum=MOMENTUM)
        return labels.to(torch.uint8)

    def _set(self, unit: Tensor, labels: Tensor, momentum: float) -> None:
        """Move each prototype towards the mean of its places, in all processes of a data parallel run."""
        chosen = F.one_hot(labels.long(), len(self.prototypes) + 1)[..., 1:].float().flatten(0, 2)
        sums = torch.cat([chosen.T @ unit.flatten(0, 2), chosen.sum(0).unsqueeze(1)], dim=1)
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(sums)
        totals, counts = sums[:, :-1], sums[:, -1:]
        moved = momentum * self.prototypes + (1 - momentum) * totals / counts.clamp(min=1)
        self.prototypes.copy_(torch.where(counts > 0, moved, self.prototypes))


def foreground(maps: Tensor, identities: Tensor) -> Tensor:
    """`(B, C, h, w)` maps -> `(B, h, w)` bool: the stronger of two clusters of the places of an identity's pictures."""
    norms = maps.norm(dim=1)
    norms = norms / norms.amax((1, 2), keepdim=True).clamp(min=1e-12)
    strong = torch.empty_like(norms, dtype=torch.bool)
    for identity in torch.unique(identities):
        own = identities == identity
        values = norms[own]
        low, high = values.min(), values.max()
        for _ in range(STEPS):
            upper = values > (low + high) / 2
            if not upper.any() or upper.all():
                break
            low, high = values[~upper].mean(), values[upper].mean()
        strong[own] = values > (low + high) / 2
    return strong
