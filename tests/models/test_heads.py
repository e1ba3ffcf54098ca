"""The embedding head against loops and against PyTorch's own pooling."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from edge_reid.models.heads import PartRelations, cubed_rows, generalized_mean, stripe_bounds
from edge_reid.models.students import Student


@pytest.mark.parametrize("rows", [8, 16, 18, 24])
@pytest.mark.parametrize("count", [2, 3, 4, 6])
def test_stripes_are_those_of_adaptive_pooling(rows: int, count: int) -> None:
    column = torch.randn(1, 1, rows, 1, dtype=torch.float64)
    means = torch.stack([column[0, 0, a:b, 0].mean() for a, b in stripe_bounds(rows, count)])
    assert torch.allclose(means, F.adaptive_avg_pool2d(column, (count, 1)).flatten())


def test_gem_is_the_cube_root_of_the_mean_cube() -> None:
    maps = torch.rand(2, 3, 4, 5) * 3
    expected = torch.empty(2, 3)
    for b in range(2):
        for c in range(3):
            expected[b, c] = (sum(float(v) ** 3 for v in maps[b, c].flatten()) / 20) ** (1 / 3)
    assert torch.allclose(generalized_mean(maps), expected, atol=1e-5)


def test_gem_of_an_empty_map_has_a_finite_gradient() -> None:
    maps = torch.zeros(1, 2, 4, 4, requires_grad=True)
    generalized_mean(maps).sum().backward()
    assert maps.grad is not None
    assert torch.isfinite(maps.grad).all()


def test_each_part_knows_the_rest_of_the_body() -> None:
    torch.manual_seed(0)
    block = PartRelations(8, 4, 3).eval()
    maps = torch.rand(1, 8, 6, 2)
    changed = maps.clone()
    changed[:, :, 4:] += 1.0  # the last stripe only
    before, after = (block(cubed_rows(m)) for m in (maps, changed))
    assert before.shape == (1, 3, 4)
    assert not torch.allclose(before[:, 0], after[:, 0])


def test_a_part_is_local_plus_relation_as_written() -> None:
    torch.manual_seed(0)
    block = PartRelations(8, 4, 2).eval()
    maps = torch.rand(1, 8, 4, 3)
    pooled = [generalized_mean(maps[:, :, a:b]).reshape(1, 8, 1, 1) for a, b in ((0, 2), (2, 4))]
    parts = block(cubed_rows(maps))
    for own, other, part in ((pooled[0], pooled[1], parts[:, 0]), (pooled[1], pooled[0], parts[:, 1])):
        local = block.local(own)
        expected = local + block.relation(torch.cat([local, block.rest(other)], dim=1))
        assert torch.allclose(part, expected.flatten(1), atol=1e-5)


def test_students_answer_with_the_teachers_size() -> None:
    feature, normalised = Student(64, 128)(torch.randn(2, 64, 8, 4))
    assert feature.shape == normalised.shape == (2, 128)
