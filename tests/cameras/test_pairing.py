from __future__ import annotations

import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_reid.cameras.capture import Shot
from edge_reid.cameras.live import LiveSource
from edge_reid.cameras.pairing import Pair, Pairing
from edge_reid.cameras.sources import Frame, Health, State, open_source
from edge_reid.cameras.uri import parse_uri
from edge_reid.types import MODALITIES, Modality


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

    def __init__(
        self, modality: Modality, times: list[float], *, rate: float, clock: Clock | None = None, delay: float = 0.0
    ) -> None:
        self.modality: Modality = modality
        self.rate = rate
        self.delay = delay
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

    def health(self) -> Health:
        return Health(self.state, received=self._next)

    def read(self) -> Frame | None:
        self._arrived.set()  # nobody waits for a time that only looking at the clock brings nearer
        now = float("inf") if self._clock is None else self._clock.now - self._epoch
        newest = None
        while self._next < len(self._times) and self._times[self._next] + self.delay <= now:
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


def watch(pairing: Pairing, clock: Clock, *, until: float, busy: float = 0.0) -> list[Pair]:
    pairs = []
    while clock.now < until:
        if (pair := pairing.read(timeout=0.05)) is not None:
            pairs.append(pair)
            clock.now += busy
    return pairs


def live(
    visible: list[float], thermal: list[float], *, delay: float = 0.0, busy: float = 0.0
) -> tuple[Pairing, list[Pair]]:
    clock = Clock()
    pairing = Pairing(
        ScriptedSource("visible", visible, rate=10.0, clock=clock),
        ScriptedSource("thermal", thermal, rate=10.0, clock=clock, delay=delay),
        clock=clock,
    )
    end = max([*visible, *thermal]) + 0.3
    return pairing, watch(pairing, clock, until=100.0 + end, busy=busy)


def test_live_frames_wait_for_a_partner_that_is_about_to_come() -> None:
    times = [0.1 * step for step in range(1, 8)]
    pairing, pairs = live(times, [moment + 0.02 for moment in times])
    # until the second camera has shown itself nobody waits for it
    assert [len(pair.frames) for pair in pairs] == [1, 1, 2, 2, 2, 2, 2, 2]
    assert (pairing.paired, pairing.single) == (6, {"visible": 1, "thermal": 1})
    assert pairing.offset is not None
    assert abs(pairing.offset - 0.02) < 1e-9


def test_a_silent_camera_stops_nothing() -> None:
    times = [0.1 * step for step in range(1, 8)]
    pairing, alone = live(times, [])
    assert len(alone) == 7
    assert (pairing.offset, pairing.paired, pairing.single["visible"]) == (None, 0, 7)
    _, gone = live(times, [0.1])
    assert [pair.frames["visible"].index for pair in gone if "visible" in pair.frames] == list(range(7))


def test_frames_of_a_camera_that_is_known_to_be_late_are_paired_with_those_of_their_own_time() -> None:
    times = [0.1 * step for step in range(1, 31)]
    pairing, pairs = live(times, times, delay=0.35)
    both = [pair for pair in pairs if len(pair.frames) == 2]
    assert len(both) >= 24
    assert all(pair.frames["visible"].time == pair.frames["thermal"].time for pair in both)
    assert pairing.offset == 0.0
    untold, _ = live(times, [moment + 0.35 for moment in times])
    assert untold.paired >= 20
    assert untold.offset is not None and abs(untold.offset) > 0.04, "what was not told cannot be corrected"


def test_whoever_is_too_slow_gets_the_newest_frames_and_nothing_piles_up() -> None:
    times = [0.1 * step for step in range(1, 61)]
    _, pairs = live(times, [moment + 0.01 for moment in times], busy=0.35)
    ages = [100.0 + pair.time for pair in pairs]
    assert np.diff(ages).min() > 0.0
    assert len(pairs) >= 10
    assert sum(len(pair.frames) for pair in pairs) < 60
    assert pairs[-1].time > 5.5


@pytest.mark.parametrize("seed", range(8))
def test_whatever_the_times_no_frame_comes_twice_or_late_and_partners_are_near(seed: int) -> None:
    rng = np.random.default_rng(seed)
    visible, thermal = (
        np.cumsum(rng.exponential(period, 80) + 0.01).round(3).tolist() for period in rng.uniform(0.02, 0.12, 2)
    )
    pairing, pairs = live(visible, thermal, delay=float(rng.choice([0.0, 0.2])), busy=float(rng.choice([0.0, 0.05])))
    for modality in MODALITIES:
        seen = [pair.frames[modality].index for pair in pairs if modality in pair.frames]
        assert seen == sorted(set(seen))
    both = [pair for pair in pairs if len(pair.frames) == 2]
    assert all(abs(pair.frames["visible"].time - pair.frames["thermal"].time) <= 0.1 for pair in both)
    assert pairing.paired == len(both)
    assert sum(pairing.single.values()) == len(pairs) - len(both)


def test_a_camera_that_blocks_for_ever_stops_nothing(tmp_path: Path) -> None:
    class Silent:
        rate, recorded = 15.0, False

        def read(self) -> Shot | None:
            silence.wait(10.0)
            return None

        def close(self) -> None:
            pass

    silence = threading.Event()
    for number in range(20):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((8, 8), np.uint8))
    pairing = Pairing(
        LiveSource(parse_uri("http://camera/"), "visible", lambda _: Silent()),
        open_source(f"{tmp_path}?fps=40", "thermal", offline=False),
    )
    began, seen = time.monotonic(), []
    while len(seen) < 15 and time.monotonic() < began + 5.0:
        if (pair := pairing.read()) is not None:
            seen.append(pair)
    states, late = pairing.states, pairing.lateness(seen[-1])
    silence.set()
    for source in pairing.sources.values():
        source.close()
    assert len(seen) == 15
    assert states == {"visible": "connecting", "thermal": "up"}
    assert late is not None and 0.0 <= late < 3.0
    assert pairing.sources["thermal"].health().received >= 15
