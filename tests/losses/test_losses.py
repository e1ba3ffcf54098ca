"""Each loss against plain loops, and in any order of the batch."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from edge_reid.losses import (
    attribute_cross_entropy,
    hetero_center_triplet,
    identity_cross_entropy,
    parsing,
    self_distillation,
)
from edge_reid.losses.attribute_cross_entropy import UNKNOWN
from edge_reid.losses.parsing import covering
from edge_reid.types import IGNORE


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor]:
    """24 rows: 3 identities, 4 visible and 4 thermal pictures of each."""
    torch.manual_seed(3)
    identities = torch.tensor([4, 9, 2]).repeat_interleave(4).repeat(2)
    return torch.randn(24, 5), identities, torch.arange(2).repeat_interleave(12)


def brute_hetero_center(features: Tensor, identities: Tensor, modalities: Tensor, margin: float) -> float:
    centres = {
        (int(i), m): features[(identities == i) & (modalities == m)].mean(0)
        for i in identities.unique()
        for m in (0, 1)
    }
    total = 0.0
    for (identity, modality), centre in centres.items():
        positive = math.dist(centre.tolist(), centres[identity, 1 - modality].tolist())
        negative = min(math.dist(centre.tolist(), o.tolist()) for (i, _), o in centres.items() if i != identity)
        total += max(0.0, margin + positive - negative)
    return total / len(centres)


@pytest.mark.parametrize("margin", [0.3, 2.0])
def test_hetero_center_triplet_equals_the_loop(batch: tuple[Tensor, Tensor, Tensor], margin: float) -> None:
    expected = brute_hetero_center(*batch, margin)
    assert float(hetero_center_triplet(*batch, margin=margin)) == pytest.approx(expected, abs=1e-5)


def test_hetero_center_triplet_is_zero_for_aligned_and_distant_people() -> None:
    features = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 0.0], [10.0, 0.0]])
    loss = hetero_center_triplet(features, torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1]))
    assert float(loss) == 0.0


def test_hetero_center_triplet_needs_both_modalities_of_everyone() -> None:
    with pytest.raises(ValueError, match="both modalities"):
        hetero_center_triplet(torch.randn(3, 2), torch.tensor([0, 1, 0]), torch.tensor([0, 0, 1]))


def brute_cross_entropy(logits: list[float], target: int, smoothing: float) -> float:
    log_sum = math.log(sum(math.exp(v) for v in logits))
    share = smoothing / len(logits)
    return -sum(((1 - smoothing) * (i == target) + share) * (v - log_sum) for i, v in enumerate(logits))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_identity_cross_entropy_equals_the_loop_for_one_and_for_many_features(smoothing: float) -> None:
    torch.manual_seed(0)
    logits, identities = torch.randn(4, 3, 6), torch.tensor([0, 5, 2, 2])
    rows = [
        brute_cross_entropy(logits[b, n].tolist(), int(identities[b]), smoothing) for b in range(4) for n in range(3)
    ]
    assert float(identity_cross_entropy(logits, identities, smoothing)) == pytest.approx(sum(rows) / 12, abs=1e-5)
    single = [brute_cross_entropy(logits[b, 0].tolist(), int(identities[b]), smoothing) for b in range(4)]
    assert float(identity_cross_entropy(logits[:, 0], identities, smoothing)) == pytest.approx(
        sum(single) / 4, abs=1e-5
    )


def test_self_distillation_equals_its_formula() -> None:
    torch.manual_seed(1)
    student, teacher = (torch.randn(3, 4), torch.randn(3, 5)), (torch.randn(3, 4), torch.randn(3, 5))
    identities = torch.tensor([1, 0, 3])
    expected = 0.0
    for b in range(3):
        ce = brute_cross_entropy(student[0][b].tolist(), int(identities[b]), 0.0)
        p, q = (torch.softmax(logits[b] / 2.0, 0) for logits in (teacher[0], student[0]))
        divergence = sum(float(pi) * math.log(float(pi) / float(qi)) for pi, qi in zip(p, q, strict=True)) * 4.0
        cosine = float(student[1][b] @ teacher[1][b] / (student[1][b].norm() * teacher[1][b].norm()))
        expected += 0.7 * ce + 0.5 * (0.3 * divergence + 0.5 * (1 - cosine))
    loss = self_distillation(student, teacher, identities, alpha=0.3, beta=0.5, temperature=2.0, ramp=0.5)
    assert float(loss) == pytest.approx(expected / 3, abs=1e-5)


def test_the_teacher_learns_nothing_from_its_students() -> None:
    teacher = (torch.randn(2, 4, requires_grad=True), torch.randn(2, 5, requires_grad=True))
    student = (torch.randn(2, 4, requires_grad=True), torch.randn(2, 5, requires_grad=True))
    self_distillation(student, teacher, torch.tensor([0, 1])).backward()
    assert all(tensor.grad is None for tensor in teacher)
    assert all(tensor.grad is not None for tensor in student)


def test_unknown_attributes_count_nowhere() -> None:
    logits = [torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 0.0, 1.0], [5.0, 5.0, 5.0]])]
    values = torch.tensor([[0, 2], [1, UNKNOWN]])
    first = (brute_cross_entropy([2.0, 0.0], 0, 0.0) + brute_cross_entropy([0.0, 1.0], 1, 0.0)) / 2
    second = brute_cross_entropy([0.0, 0.0, 1.0], 2, 0.0)
    assert float(attribute_cross_entropy(logits, values)) == pytest.approx((first + second) / 2, abs=1e-6)
    assert float(attribute_cross_entropy(logits, torch.full((2, 2), UNKNOWN))) == 0.0


def test_a_cell_has_the_label_that_covers_most_of_it() -> None:
    labels = torch.randint(0, 3, (5, 12, 6), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    labels[0, :7] = IGNORE
    logits = torch.randn(5, 3, 4, 2, dtype=torch.float64)
    values = []
    for picture in range(5):
        for row in range(4):
            for column in range(2):
                cell = labels[picture, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3].flatten().tolist()
                label = max([0, 1, 2, IGNORE], key=cell.count)  # the first of two that are as frequent
                if label != IGNORE:
                    values.append(brute_cross_entropy(logits[picture, :, row, column].tolist(), label, 0.1))
    assert len(values) == 36  # of 40: the two upper rows of one picture are unknown
    assert float(parsing(logits, labels, 0.1)) == pytest.approx(sum(values) / 36, abs=1e-5)
    assert float(parsing(logits, torch.full_like(labels, IGNORE))) == 0.0


def test_the_cells_of_uneven_maps_overlap_as_pooling_lays_them() -> None:
    labels = torch.tensor([[[0, 0, 1, 1, 1]]])  # 5 columns in 2 cells: columns 0 to 2 and 2 to 4
    assert covering(labels, 2, (1, 2)).tolist() == [[[0, 1]]]
    assert covering(labels[..., :2], 2, (1, 4)).tolist() == [[[0, 0, 0, 0]]]
