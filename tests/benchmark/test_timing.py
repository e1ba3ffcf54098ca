"""The stopwatch: what is called, what is recorded, and what the numbers are."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle, pairwise, repeat

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_reid.benchmark.rows import Row
from edge_reid.benchmark.timing import (
    BLOCK_CALLS,
    BLOCK_SECONDS,
    MOST_WARM_UP,
    ROUNDS,
    Stopwatch,
    drift,
    spread,
    time_together,
)
from edge_reid.engines.base import DeviceTimes, EngineFacts, NetworkEngine

CROPS = np.zeros((1, 2, 2), dtype=np.uint8)
ROW = Row(engine="fake", precision="fp32", modality="thermal", batch=4)


class Clock:
    """Time passes when an engine is called, and never else."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def engine(self, calls: list[str], lasting: Iterable[float], name: str = "x") -> NetworkEngine:
        """Notes its name at each call; each lasts as long as the next number says."""
        durations = iter(lasting)

        def run(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
            calls.append(name)
            self.now += next(durations)
            return np.ones((len(crops), 1), dtype=np.float32)

        return NetworkEngine("thermal", 1, (2, 2), EngineFacts("fake", "fp32", "cpu", 1, "0", "file", 0, 0.0), run)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("edge_reid.benchmark.timing.time", made)
    return made


def test_warm_up_compares_two_blocks_of_calls_and_records_nothing(clock: Clock) -> None:
    calls: list[str] = []
    watch = Stopwatch(clock.engine(calls, repeat(0.02)), CROPS)
    watch.warm_up()
    assert len(calls) == 2 * BLOCK_CALLS
    assert (watch.settled, watch.rounds) == (True, [])


def test_warm_up_goes_on_until_successive_medians_agree(clock: Clock) -> None:
    calls: list[str] = []
    watch = Stopwatch(clock.engine(calls, [*[0.03] * 5, *[0.015] * 5, *[0.0145] * 5]), CROPS)
    watch.warm_up()
    assert len(calls) == 15, "half of the time is no agreement, 3 % less is"
    assert watch.settled


def test_warm_up_ends_although_nothing_settles(clock: Clock) -> None:
    watch = Stopwatch(clock.engine([], cycle([*[0.02] * 5, *[0.08] * 5])), CROPS)
    watch.warm_up()
    assert MOST_WARM_UP <= clock.now < 2 * MOST_WARM_UP
    assert not watch.settled


def test_short_calls_fill_the_time_of_a_block(clock: Clock) -> None:
    calls: list[str] = []
    Stopwatch(clock.engine(calls, repeat(0.001)), CROPS).warm_up()
    assert len(calls) == pytest.approx(2 * BLOCK_SECONDS / 0.001, abs=2)


def test_a_slow_engine_is_called_once_a_block_and_once_for_all_rounds(clock: Clock) -> None:
    calls: list[str] = []
    watch = Stopwatch(clock.engine(calls, repeat(60.0)), CROPS)
    time_together([watch], seconds=1)
    assert len(calls) == 2 + 1 + 1, "two to warm up, one that is not counted, one that is"
    assert watch.rounds == [[60.0]]


def test_a_round_records_the_samples_and_the_seconds_asked_for(clock: Clock) -> None:
    watch = Stopwatch(clock.engine([], repeat(0.25)), CROPS)
    watch.run(seconds=1, samples=2)
    assert watch.rounds == [[0.25] * 4], "as long as there is time"
    watch.run(seconds=1, samples=10)
    assert watch.rounds == [[0.25] * 4, [0.25] * 6], "as many as are wanted"
    watch.run(seconds=1, samples=100)
    assert watch.rounds[2:] == [[0.25] * 2], "but no more than three times as long"


def test_rows_take_turns_in_rounds(clock: Clock) -> None:
    calls: list[str] = []
    watches = [Stopwatch(clock.engine(calls, repeat(0.01), name), CROPS) for name in "ab"]
    time_together(watches, 1.0)
    assert [len(watch.rounds) for watch in watches] == [ROUNDS, ROUNDS]
    turns = 1 + sum(before != after for before, after in pairwise(calls))
    assert turns == 2 + 2 * ROUNDS, "warm-up of each, then ten turns of each"


def test_percentiles_are_those_of_the_sorted_calls_of_all_rounds() -> None:
    watch = Stopwatch(Clock().engine([], repeat(0.0)), np.zeros((4, 2, 2), dtype=np.uint8))
    watch.rounds = [[0.001 * value for value in range(100, 49, -1)], [0.001 * value for value in range(50)]]
    row = watch.row(ROW)
    assert (row.p50_ms, row.p90_ms, row.p99_ms, row.mean_ms) == pytest.approx((50, 90, 99, 50))
    assert row.images_per_second == pytest.approx(4 / 0.05)
    assert row.samples == 101
    assert row.round_ms == pytest.approx([75, 24.5])


def test_the_gpus_own_time_is_left_empty_where_no_engine_tells_it() -> None:
    watch = Stopwatch(Clock().engine([], repeat(0.0)), CROPS)
    watch.rounds = [[0.001]]
    assert (watch.row(ROW).device_ms, watch.row(ROW).copy_ms) == (None, None)
    watch.engine.time_on_device = lambda crops: DeviceTimes(compute_ms=0.5, copies_ms=0.25)  # type: ignore[attr-defined]
    assert (watch.row(ROW).device_ms, watch.row(ROW).copy_ms) == (0.5, 0.25)


def test_spread_and_drift_by_hand() -> None:
    medians = [10.0, 10.0, 10.0, 11.0, 11.0, 12.0, 12.0, 12.0, 12.0, 15.0]
    # sorted, the quartiles lie at positions 2.25 and 6.75 of 0..9: 10.25 and 12, the median between 11 and 12
    assert spread(medians) == pytest.approx((12 - 10.25) / 1.35 / 11.5)
    assert drift(medians) == pytest.approx(12 / 10 - 1)
    assert (spread([7.0]), drift([7.0])) == (0, 0)
