"""What every loss keeps: the batch may come in any order, and gradients are finite at any distance."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from edge_reid import losses

PEOPLE = 10
FIXED = torch.randn(24, PEOPLE + 6, generator=torch.Generator().manual_seed(7))
"""What the teachers say of each row, logits and feature."""
LABELS = torch.randint(0, 4, (24, 4, 4), generator=torch.Generator().manual_seed(8)).to(torch.uint8)
ATTRIBUTES = torch.randint(-1, 2, (24, 2), generator=torch.Generator().manual_seed(9))
IDENTITIES = torch.tensor([4, 9, 2, 7]).repeat_interleave(3).repeat(2)
MODALITIES = torch.arange(2).repeat_interleave(12)

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Of numbers `(24, 16)`, identities, modalities, and the rows' places in what is fixed above."""


def said(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and feature."""
    return numbers[:, :PEOPLE], numbers[:, PEOPLE:]


def guided(numbers: Tensor, identities: Tensor, rows: Tensor) -> Tensor:
    sure = torch.nn.functional.one_hot(identities, PEOPLE) * 9.0
    teachers = [
        losses.Teacher(FIXED[rows, :PEOPLE] + sure, FIXED[rows, PEOPLE:], rows % 3 > 0),
        losses.Teacher(FIXED[rows, :PEOPLE], FIXED[rows, PEOPLE:], rows % 2 > 0),
    ]
    return losses.guidance(*said(numbers), teachers, identities)


def distilled(numbers: Tensor, rows: Tensor) -> Tensor:
    student, teacher = (torch.nn.functional.normalize(each, dim=1) for each in (numbers, FIXED[rows]))
    return torch.stack(losses.embedding_distillation(student, teacher)).sum()


LOSSES: dict[str, Loss] = {
    "hard_triplet": lambda n, i, m, r: losses.hard_triplet(n, i),
    "weighted_triplet": lambda n, i, m, r: losses.weighted_triplet(n, i),
    "hetero_center_triplet": lambda n, i, m, r: losses.hetero_center_triplet(n, i, m),
    "center_alignment": lambda n, i, m, r: losses.center_alignment(n, i, m),
    "center_contrast": lambda n, i, m, r: losses.center_contrast(n, i, m),
    "identity_center_mining": lambda n, i, m, r: losses.identity_center_mining(n, i, m),
    "identity_cross_entropy": lambda n, i, m, r: losses.identity_cross_entropy(said(n)[0], i, 0.1),
    "attribute_cross_entropy": lambda n, i, m, r: losses.attribute_cross_entropy([n[:, :2], n[:, 2:5]], ATTRIBUTES[r]),
    "self_distillation": lambda n, i, m, r: losses.self_distillation(said(n), said(FIXED[r]), i),
    "guidance": lambda n, i, m, r: guided(n, i, r),
    "parsing": lambda n, i, m, r: losses.parsing(n.reshape(-1, 4, 2, 2), LABELS[r], 0.1),
    "division": lambda n, i, m, r: losses.division(n.reshape(-1, 4, 4)),
    "embedding_distillation": lambda n, i, m, r: distilled(n, r),
}


def numbers(scale: float = 1.0) -> Tensor:
    return scale * torch.randn(24, 16, generator=torch.Generator().manual_seed(3))


def test_no_loss_is_left_out() -> None:
    functions = {name for name in losses.__all__ if name.islower()} - {"teacher_weights"}
    assert functions == set(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("scale", [1e-4, 1e-2, 1.0, 1e2, 1e3])
def test_values_and_gradients_are_finite_at_any_distance(name: str, scale: float) -> None:
    given = numbers(scale).requires_grad_()
    value = LOSSES[name](given, IDENTITIES, MODALITIES, torch.arange(24))
    value.backward()
    assert bool(value.isfinite())
    assert given.grad is not None
    assert bool(given.grad.isfinite().all())
    assert bool(given.grad.any()) or float(value) == 0, "a value above 0 says how to lower it"


@pytest.mark.parametrize("name", LOSSES)
def test_the_order_of_the_batch_does_not_matter(name: str) -> None:
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    before = float(LOSSES[name](numbers(), IDENTITIES, MODALITIES, torch.arange(24)))
    after = float(LOSSES[name](numbers()[order], IDENTITIES[order], MODALITIES[order], order))
    assert before > 0
    assert after == pytest.approx(before, abs=1e-5)
