from __future__ import annotations

import numpy as np
import pytest
from edge_reid_calibration.ranges import (
    SHARES,
    Histogram,
    Method,
    central_range,
    least_divergent_range,
    least_error_range,
    observe,
    observe_channels,
)
from numpy.typing import NDArray

from tests.calibration.graphs import light_chunks, light_model, values


def histogram(numbers: NDArray[np.float64]) -> Histogram:
    counts, edges = np.histogram(numbers, bins=8192)
    return Histogram(counts, float(edges[0]), float(edges[-1]))


def test_ranges_are_the_extremes_over_all_chunks() -> None:
    seen = values(light_model(), "sum")
    assert observe(light_model(), ["sum"], light_chunks, "min-max")["sum"] == pytest.approx((seen.min(), seen.max()))


@pytest.mark.parametrize("method", ["percentile", "entropy", "mse"])
def test_no_method_leaves_the_extremes(method: Method) -> None:
    low, high = observe(light_model(), ["sum"], light_chunks, "min-max")["sum"]
    inner_low, inner_high = observe(light_model(), ["sum"], light_chunks, method)["sum"]
    assert low <= inner_low < inner_high <= high


def test_the_central_range_ignores_an_outlier_and_keeps_the_rest() -> None:
    counts = np.full(100, 1_000_000)
    counts[90:] = 0
    counts[99] = 1
    assert central_range(Histogram(counts, 0.0, 100.0)) == pytest.approx((0.0, 90.0))


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("sided", [True, False], ids=["after a Relu", "both signs"])
def test_the_least_error_is_that_of_rounding_the_values_themselves(sided: bool, symmetric: bool) -> None:
    numbers = np.random.default_rng(0).standard_t(2, 50_000)
    numbers = np.maximum(numbers, 0) if sided else numbers
    low, high = float(numbers.min()), float(numbers.max())
    if symmetric:
        low, high = -max(-low, high), max(-low, high)

    def error(share: float) -> float:
        step = share * (high - low) / 255
        rounded = np.clip(np.round(numbers / step), round(share * low / step), round(share * high / step)) * step
        return float(np.square(numbers - rounded).mean())

    chosen = least_error_range(histogram(numbers), symmetric=symmetric)[1] / high
    assert chosen < 1, "a long tail is worth clipping"
    assert error(chosen) == pytest.approx(min(error(share) for share in SHARES), rel=0.02)


def test_entropy_clips_a_lonely_outlier_and_no_flat_distribution() -> None:
    random = np.random.default_rng(0)
    flat = random.uniform(0, 1, 100_000)
    assert least_divergent_range(histogram(flat))[1] == pytest.approx(flat.max())
    lonely = np.append(np.abs(random.normal(0, 1, 100_000)), 40.0)
    assert 3 < least_divergent_range(histogram(lonely))[1] < 12


@pytest.mark.parametrize("choose", [least_error_range, least_divergent_range])
def test_zero_is_inside_the_range_of_values_far_from_it(choose: type[Histogram]) -> None:
    low, high = choose(histogram(np.random.default_rng(0).uniform(5, 6, 10_000)))  # type: ignore[call-arg, arg-type]
    assert low == 0
    assert high == pytest.approx(6, rel=0.01)


def test_channels_are_told_apart() -> None:
    channels = observe_channels(light_model(), ["between"], light_chunks)["between"]
    seen = values(light_model(), "between")
    np.testing.assert_allclose(channels.largest, np.abs(seen).max(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(channels.mean, seen.mean(axis=(0, 2, 3)), rtol=1e-4, atol=1e-6)
