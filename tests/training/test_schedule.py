"""The learning rate rises in a line and falls along a cosine or in two steps."""

from __future__ import annotations

import numpy as np
import pytest

from edge_reid import recipes
from edge_reid.training.schedule import FLOOR, warm_cosine, warm_steps


def test_the_rate_rises_to_its_peak_and_falls_to_its_floor() -> None:
    rates = [warm_cosine(progress, 0.1) for progress in np.linspace(0, 1, 101)]
    assert rates[5] == pytest.approx(0.5)
    assert rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx((1 + FLOOR) / 2)
    assert rates[100] == pytest.approx(FLOOR)
    assert all(np.diff(rates[:11]) > 0)
    assert all(np.diff(rates[10:]) < 0)


def test_no_step_is_wasted_on_a_rate_of_zero() -> None:
    assert warm_cosine(0.0, 0.1) > 0
    assert warm_cosine(0.0, 0.0) == 1.0


@pytest.mark.parametrize("name", ["baseline", "hctri", "psfl", "cscl", "mmff-sd"])
def test_the_steps_come_after_as_many_epochs_as_in_the_published_code(name: str) -> None:
    recipe = recipes.get(name)
    assert recipe.epochs == (61 if name == "hctri" else 81)
    rates = [
        recipe.learning_rate * warm_steps((epoch + 1e-6) / recipe.epochs, recipe.warm_up, recipe.drops)
        for epoch in range(recipe.epochs)
    ]
    assert rates[5] == pytest.approx(0.05, rel=1e-3)
    assert rates[9] < 0.1
    assert rates[10:20] == pytest.approx([0.1] * 10)
    assert rates[20:50] == pytest.approx([0.01] * 30)
    assert rates[50:] == pytest.approx([0.001] * (recipe.epochs - 50))
