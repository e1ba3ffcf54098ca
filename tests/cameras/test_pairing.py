from __future__ import annotations

import threading
import time

import numpy as np

from edge_reid.cameras.pairing import Pair, Pairing
from edge_reid.cameras.sources import Frame, State
from edge_reid.types import Modality


class ScriptedSource:
    """Gives frames of known times: offline at once, live when their time has come."""

    name = "scripted"

    def __init__(self, modality: Modality, times: list[float], *, rate: float, offline: bool) -> None:
        self.modality: Modality = modality
        self.rate = rate
        self.offline = offline
        self._times = times
        self._next = 0
        self._epoch = 0.0
        self._silent_at_end = not offline

    @property
    def state(self) -> State:
        return "up" if self._silent_at_end or self._next < len(self._times) else "ended"

    def start(self, epoch: float, arrived: threading.Event) -> None:
        self._epoch = epoch
        if not self.offline:
            for moment in self._times:
                threading.Timer(max(0.0, epoch + moment - time.monotonic()), arrived.set).start()

    def read(self) -> Frame | None:
        now = time.monotonic() - self._epoch
        newest = None
        while self._next < len(self._times) and (self.offline or self._times[self._next] <= now):
            newest = Frame(np.zeros((2, 2), np.uint8), self._times[self._next], self._next)
            self._next += 1
            if self.offline:
                break
        return newest

    def close(self) -> None:
        pass


def offline(visible: list[float], thermal: list[float], rates: tuple[float, float] = (10.0, 10.0)) -> list[Pair]:
    pairing = Pairing(
        ScriptedSource("visible", visible, rate=rates[0], offline=True),
        ScriptedSource("thermal", thermal, rate=rates[1], offline=True),
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


def live(visible: list[float], thermal: list[float], seconds: float) -> list[Pair]:
    pairing = Pairing(
        ScriptedSource("visible", visible, rate=10.0, offline=False),
        ScriptedSource("thermal", thermal, rate=10.0, offline=False),
    )
    pairs = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (pair := pairing.read(timeout=0.05)) is not None:
            pairs.append(pair)
    return pairs


def test_live_frames_wait_for_a_partner_that_is_about_to_come() -> None:
    times = [0.1 * step for step in range(1, 8)]
    pairs = live(times, [moment + 0.02 for moment in times], 0.9)
    assert sum(len(pair.frames) == 2 for pair in pairs) >= 5


def test_a_silent_camera_stops_nothing() -> None:
    times = [0.1 * step for step in range(1, 8)]
    assert len(live(times, [], 0.9)) == 7
    gone = live(times, [0.1], 0.9)
    assert [pair.frames["visible"].index for pair in gone if "visible" in pair.frames] == list(range(7))
