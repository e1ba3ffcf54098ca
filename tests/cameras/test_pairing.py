from __future__ import annotations

import threading

import numpy as np

from edge_reid.cameras.pairing import Pair, Pairing
from edge_reid.cameras.sources import Frame, State
from edge_reid.types import Modality


class Clock:
    """A clock that goes on by five milliseconds whenever someone looks at it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 0.005
        return self.now


class ScriptedSource:
    """Gives frames of known times: without a clock at once, with one when their time has come."""

    name = "scripted"

    def __init__(self, modality: Modality, times: list[float], *, rate: float, clock: Clock | None = None) -> None:
        self.modality: Modality = modality
        self.rate = rate
        self.offline = clock is None
        self._clock = clock
        self._times = times
        self._next = 0
        self._epoch = 0.0
        self._arrived = threading.Event()

    @property
    def state(self) -> State:
        return "ended" if self.offline and self._next == len(self._times) else "up"

    def start(self, epoch: float, arrived: threading.Event) -> None:
        self._epoch, self._arrived = epoch, arrived

    def read(self) -> Frame | None:
        self._arrived.set()  # nobody waits for a time that only looking at the clock brings nearer
        now = float("inf") if self._clock is None else self._clock.now - self._epoch
        newest = None
        while self._next < len(self._times) and self._times[self._next] <= now:
            newest = Frame(np.zeros((2, 2), np.uint8), self._times[self._next], self._next)
            self._next += 1
            if self.offline:
                break
        return newest

    def close(self) -> None:
        pass


def offline(visible: list[float], thermal: list[float], rates: tuple[float, float] = (10.0, 10.0)) -> list[Pair]:
    pairing = Pairing(
        ScriptedSource("visible", visible, rate=rates[0]),
        ScriptedSource("thermal", thermal, rate=rates[1]),
    )
    pairs = []
    while not pairing.ended:
        if (pair := pairing.read()) is not None:
            pairs.append(pair)
    return pairs


def indices(pairs: list[Pair]) -> list[tuple[int | None, int | None]]:
    return [
        (
            pair.frames["visible"].index if "visible" in pair.frames else None,
            pair.frames["thermal"].index if "thermal" in pair.frames else None,
        )
        for pair in pairs
    ]


def test_files_of_one_rate_are_paired_by_index() -> None:
    times = [0.0, 0.1, 0.2]
    assert indices(offline(times, times)) == [(0, 0), (1, 1), (2, 2)]


def test_files_of_two_rates_are_paired_by_time_and_no_frame_is_left_out() -> None:
    pairs = offline([0.0, 0.05, 0.1, 0.15, 0.2], [0.0, 0.1, 0.2], rates=(20.0, 10.0))
    assert {v for v, _ in indices(pairs)} - {None} == set(range(5))
    assert all(
        abs(pair.frames["visible"].time - pair.frames["thermal"].time) <= 0.05 + 1e-9
        for pair in pairs
        if len(pair.frames) == 2
    )
    assert [pair.time for pair in pairs] == sorted(pair.time for pair in pairs)


def test_a_file_that_ends_early_leaves_the_other_running() -> None:
    assert indices(offline([0.0, 0.1, 0.2], [0.0])) == [(0, 0), (1, None), (2, None)]


def live(visible: list[float], thermal: list[float]) -> list[Pair]:
    clock = Clock()
    pairing = Pairing(
        ScriptedSource("visible", visible, rate=10.0, clock=clock),
        ScriptedSource("thermal", thermal, rate=10.0, clock=clock),
        clock=clock,
    )
    pairs = []
    while clock.now < 101.0:
        if (pair := pairing.read(timeout=0.05)) is not None:
            pairs.append(pair)
    return pairs


def test_live_frames_wait_for_a_partner_that_is_about_to_come() -> None:
    times = [0.1 * step for step in range(1, 8)]
    pairs = live(times, [moment + 0.02 for moment in times])
    # until the second camera has shown itself nobody waits for it
    assert [len(pair.frames) for pair in pairs] == [1, 1, 2, 2, 2, 2, 2, 2]


def test_a_silent_camera_stops_nothing() -> None:
    times = [0.1 * step for step in range(1, 8)]
    assert len(live(times, [])) == 7
    gone = live(times, [0.1])
    assert [pair.frames["visible"].index for pair in gone if "visible" in pair.frames] == list(range(7))
