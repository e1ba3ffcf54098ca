"""The learning rate rises in a line and falls along a cosine."""

from __future__ import annotations

import numpy as np
import pytest

from edge_reid.training.schedule import FLOOR, warm_cosine


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
