"""The recipe's numbers and the loss that they weigh."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_reid import recipes
from edge_reid.errors import UserError
from edge_reid.models.output import TrainingOutput
from edge_reid.recipes.sdm_mgim import SdmMgim
from tests.steps import step

SMALL = SdmMgim(width=0.25, granularities=(2, 4), part_dim=16, size=(64, 32))


@pytest.fixture(scope="module")
def output() -> TrainingOutput:
    return step(SMALL)[1]


def test_recipes_are_found_by_name_and_know_theirs() -> None:
    assert recipes.names() == ["sdm-mgim", "psfl", "cscl", "mmff-sd", "baseline", "hctri"]
    assert [recipes.name_of(recipes.get(name)) for name in recipes.names()] == recipes.names()
    with pytest.raises(UserError, match="recipe 'sdm' does not exist; choose one of: sdm-mgim, psfl"):
        recipes.get("sdm")


def test_the_numbers_survive_json() -> None:
    recipe = replace(SMALL, shares=(0.7, 0.3))
    assert recipes.from_json("sdm-mgim", recipe.as_json()) == recipe


def test_a_number_of_another_version_is_refused() -> None:
    with pytest.raises(UserError, match="'wings' is not known"):
        recipes.from_json("sdm-mgim", {**SMALL.as_json(), "wings": 2})


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"width": 0.3}, r"width 0\.3"),
        ({"share_from": 6}, "share_from 6"),
        ({"granularities": (2, 1)}, "2 or more stripes"),
        ({"students": (4,)}, "of stages 0 to 3"),
        ({"whole": False}, "need the global feature"),
        ({"part_dim": 0}, "part_dim 0"),
        ({"size": (250, 128)}, "size 250x128"),
        ({"size": (16, 16)}, "size 16x16"),
        ({"shares": (0.5, 0.4)}, "add up to 1"),
        ({"shares": (0.25,) * 4}, "one to three"),
        ({"shares": (1.5, -0.5)}, "shares"),
        ({"identities": 1}, "identities"),
        ({"pictures": 0}, "pictures"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"warm_up": 1.0}, "warm_up"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_numbers_that_no_training_can_have_are_refused(numbers: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SdmMgim(**numbers)


@pytest.mark.parametrize(
    ("shares", "sizes"),
    [
        ((1.0,), [(256, 128)] * 4),
        ((0.5, 0.5), [(128, 64), (128, 64), (256, 128), (256, 128)]),
        ((0.25, 0.25, 0.5), [(128, 64), (192, 96), (256, 128), (256, 128)]),
    ],
)
def test_pictures_grow_by_their_shares_of_the_training(shares: tuple[float, ...], sizes: list[tuple[int, int]]) -> None:
    recipe = SdmMgim(size=(256, 128), shares=shares)
    assert [recipe.size_at(progress) for progress in (0.0, 0.25, 0.5, 0.999)] == sizes


def test_the_total_is_the_weighted_sum_of_its_terms(output: TrainingOutput) -> None:
    recipe = replace(
        SMALL, identity_weight=0.5, distillation_weight=3.0, attribute_weight=7.0, parsing_weight=11.0, teacher_from=0.0
    )
    total, terms = recipe.loss(output, 1.0)
    weights = {"identity": 0.5, "center": 1.0, "distillation": 1.5, "attributes": 7.0, "parsing": 11.0}
    assert set(terms) == set(weights)
    assert float(total.detach()) == pytest.approx(sum(weights[name] * float(terms[name].detach()) for name in terms))


def test_the_teacher_gains_weight_as_it_learns(output: TrainingOutput) -> None:
    recipe = replace(SMALL, teacher_from=0.5)
    begin, middle, later, end = (
        float(recipe.loss(output, p)[1]["distillation"].detach()) for p in (0.0, 0.25, 0.5, 1.0)
    )
    assert begin < middle < later == end


def test_a_loss_of_nothing_but_the_students_does_not_reach_the_teacher() -> None:
    network, output = step(SMALL)
    SMALL.loss(output, 1.0)[1]["distillation"].backward()
    assert network.classifiers["whole"].weight.grad is None
    assert all(parameter.grad is None for parameter in network.network.head.parameters())
    assert network.get_parameter("students.classifiers.weight").grad is not None


def test_without_students_nothing_distils() -> None:
    recipe = replace(SMALL, students=())
    network, output = step(recipe)
    assert not hasattr(network, "students")
    assert "distillation" not in recipe.loss(output, 1.0)[1]
