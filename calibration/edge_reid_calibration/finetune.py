"""Quantisation-aware fine-tuning: the float graph teaches the rounded one what its embeddings were.

For graphs that calibration alone leaves short. Neither labels nor losses of the recipe are needed: an embedding that
equals the teacher's ranks as the teacher ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge_reid_calibration.qdq import Graph, activation_scales, place
from edge_reid_calibration.quantize import Quantizer
from edge_reid_calibration.torch_graph import Rounding, TorchGraph

RATE = 1e-3
"""Share of its usual size by which a step of Adam changes a weight. Folded weights differ 1000-fold in size between
layers: one learning rate for all would wreck the smallest."""


def finetuned(
    quantizer: Quantizer,
    batches: Iterator[NDArray[np.uint8]],
    *,
    steps: int = 200,
    tell: Callable[[int, float], None] | None = None,
) -> Quantizer:
    """The quantizer, its graph with weights and biases that stand rounding better.

    Scales of activations stay those of the calibration, scales of weights follow the weights; the learning rate falls
    to 0 along a cosine.

    Args:
        quantizer: of the graph.
        batches: uint8 crops of training people, without end.
        steps: of Adam.
        tell: called with the step and the mean of 1 - cosine to the teacher.
    """
    graph = Graph(quantizer.model.graph)
    placed = place(graph, quantizer.scheme, quantizer.kept)
    scales = activation_scales(graph, placed, quantizer.ranges_of(placed), quantizer.scheme)
    teacher, student = TorchGraph(quantizer.model).eval(), TorchGraph(quantizer.model)
    student.rounding = Rounding(placed, scales, quantizer.scheme)
    for weight in student.parameters():
        _keep_zeros(weight)
    optimizer = torch.optim.Adam({"params": [one], "lr": RATE * _usual_size(one)} for one in student.parameters())
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        crops = torch.from_numpy(next(batches))
        with torch.no_grad():
            wanted = teacher(crops)
        distance = (1 - (student(crops) * wanted).sum(dim=1)).mean()
        optimizer.zero_grad()
        distance.backward()
        optimizer.step()
        schedule.step()
        if tell:
            tell(step + 1, distance.item())
    return quantizer.with_weights_of(student.tuned(quantizer.model))


def _usual_size(weight: nn.Parameter) -> float:
    """Root mean square of what is not zero."""
    values = weight.detach()[weight.detach() != 0]
    return float(values.square().mean().sqrt()) if len(values) else 0.0


def _keep_zeros(weight: nn.Parameter) -> None:
    """Merged streams are blocks along a diagonal; what is zero beside them stays so."""
    mask = (weight.detach() != 0).to(weight.dtype)
    if not mask.all():
        weight.register_hook(lambda gradient: gradient * mask)  # type: ignore[no-untyped-call]
