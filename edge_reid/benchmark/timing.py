"""One clock and one procedure for all rows. Shapes: N crops."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_reid.benchmark.rows import Row
from edge_reid.engines import Engine

ROUNDS = 10

LEAST_SAMPLES = 100
"""Per row, unless they take longer than `LONGEST` times the time given."""

LONGEST = 3

BLOCK_CALLS, BLOCK_SECONDS = 5, 0.05
"""At least so many calls and so long: whose median is compared with the next one's while warming up."""

AGREE = 0.05
"""Successive medians that differ by less have settled."""

MOST_WARM_UP = 1.0
"""Seconds after which timing begins anyway, once two blocks are through."""


DEVICE_CALLS = 20
"""Whose median is the GPU's own time."""


class Stopwatch:
    """Latencies of one engine on one batch, collected over several rounds."""

    def __init__(self, engine: Engine, crops: NDArray[np.uint8]) -> None:
        self.engine = engine
        self.crops = crops
        self.rounds: list[list[float]] = []
        """Seconds of every call."""
        self.settled = False

    def warm_up(self) -> None:
        """Run until two successive medians agree, so that caches, clocks and pools are settled; nothing is recorded."""
        began = time.perf_counter()
        last = self._block()
        while not self.settled:
            now = self._block()
            self.settled = abs(now - last) <= AGREE * last
            last = now
            if time.perf_counter() - began >= MOST_WARM_UP:
                return

    def _block(self) -> float:
        """The median seconds of a few calls."""
        seconds: list[float] = []
        while len(seconds) < BLOCK_CALLS or sum(seconds) < BLOCK_SECONDS:
            seconds.append(self._call())
            if sum(seconds) >= MOST_WARM_UP:
                break
        return float(np.median(seconds))

    def run(self, seconds: float, samples: int) -> None:
        """One round: go on until `samples` calls and `seconds` are recorded in all, or `LONGEST` times the seconds."""
        if self._is_done(seconds, samples):
            return
        self.engine.embed(self.crops)  # another engine has just had the caches
        self.rounds.append([])
        while not self._is_done(seconds, samples):
            self.rounds[-1].append(self._call())

    def _call(self) -> float:
        start = time.perf_counter()
        self.engine.embed(self.crops)
        return time.perf_counter() - start

    def _is_done(self, seconds: float, samples: int) -> bool:
        spent, calls = sum(map(sum, self.rounds)), sum(map(len, self.rounds))
        return spent >= LONGEST * seconds or (spent >= seconds and calls >= samples)

    def row(self, row: Row) -> Row:
        """`row` with the latencies."""
        times = np.sort(1e3 * np.concatenate([np.asarray(one) for one in self.rounds]))
        p50, p90, p99 = map(float, np.percentile(times, (50, 90, 99)))
        medians = [1e3 * float(np.median(one)) for one in self.rounds]
        asked = [self.engine.device_times(self.crops) for _ in range(DEVICE_CALLS)]
        device = [one for one in asked if one is not None]
        return row.model_copy(
            update={
                "samples": len(times),
                "p50_ms": p50,
                "p90_ms": p90,
                "p99_ms": p99,
                "mean_ms": float(times.mean()),
                "images_per_second": 1e3 * len(self.crops) / p50,
                "round_ms": medians,
                "spread": spread(medians),
                "drift": drift(medians),
                "settled": self.settled,
                "device_ms": float(np.median([one.compute_ms for one in device])) if device else None,
                "copy_ms": float(np.median([one.copies_ms for one in device])) if device else None,
            }
        )


def time_together(watches: Sequence[Stopwatch], seconds: float) -> None:
    """Warm all up, then let them take turns, so that whatever else the machine does meets all of them alike."""
    for watch in watches:
        watch.warm_up()
    for number in range(1, ROUNDS + 1):
        for watch in watches:
            watch.run(seconds * number / ROUNDS, LEAST_SAMPLES * number // ROUNDS)


def spread(medians: Sequence[float]) -> float:
    """The interquartile range over 1.35, as a share of the median; 0 of a single number."""
    low, middle, high = np.percentile(medians, (25, 50, 75))
    return float((high - low) / 1.35 / middle)


def drift(medians: Sequence[float]) -> float:
    """How much larger the median of the last third is than that of the first, as a share."""
    third = max(1, len(medians) // 3)
    return float(np.median(medians[-third:]) / np.median(medians[:third]) - 1)
