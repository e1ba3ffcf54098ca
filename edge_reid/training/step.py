"""The parts of one update of the weights; the loop takes them in turn, the benchmark times each.

Shapes: B pictures of either modality.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge_reid.data.loader import Batch, Targets
from edge_reid.models.input import normalize
from edge_reid.models.output import TrainingOutput
from edge_reid.training.run import Run


def to_device(run: Run, batch: Batch) -> tuple[Tensor, Tensor, Targets]:
    """Move a batch to the run's device: normalised visible and thermal pictures, channels last, and targets."""
    visible, thermal = (
        normalize(crops.to(run.device, non_blocking=True)).contiguous(memory_format=torch.channels_last)
        for crops in (batch.visible, batch.thermal)
    )
    return visible, thermal, Targets(*(target.to(run.device, non_blocking=True) for target in batch.targets))


def forward(run: Run, network: nn.Module, visible: Tensor, thermal: Tensor, targets: Targets) -> TrainingOutput:
    """What `network`, the run's own or a parallel wrapper of it, makes of a batch in the run's precision."""
    with run.autocast:
        output: TrainingOutput = network(visible, thermal, targets)
    return output


def backward(run: Run, loss: Tensor) -> None:
    """Gradients of the loss, and of nothing before it."""
    run.optimizer.zero_grad(set_to_none=True)
    run.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]


def update(run: Run) -> None:
    """One step of the optimiser along gradients that are clipped to the recipe's norm."""
    run.scaler.unscale_(run.optimizer)
    nn.utils.clip_grad_norm_(run.network.parameters(), run.recipe.clip)
    run.scaler.step(run.optimizer)
    run.scaler.update()
