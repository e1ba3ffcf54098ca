"""Frames of two cameras brought together in time, without one ever waiting for the other."""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from edge_reid.cameras.sources import Frame, Source, State
from edge_reid.types import MODALITIES, Modality, other_modality

SILENCE = 1.0
"""Seconds without a frame after which a camera is no longer waited for."""

PATIENCE = 0.6
"""Periods that a frame waits for a partner; half of one would do, but for cameras that are just half a period apart."""

MEASURED_PAIRS = 50
"""Pairs over which the offset is measured."""


@dataclass(frozen=True)
class Pair:
    """What the cameras saw at one time: a frame of each, or of one alone."""

    frames: dict[Modality, Frame]
    time: float
    """Seconds since the start: of the later frame."""


class Pairing:
    """Pairs the frames of a visible and a thermal source.

    Offline, frames are paired by their times in the files, which for equal rates is by index. Live, a frame waits for
    a partner little more than half its period: one that comes later lies nearer to the next frame. Where one camera
    is known to be late (`Source.delay`), the other's frames wait for so much longer, side by side.
    """

    def __init__(
        self, visible: Source, thermal: Source, *, bound: float = 0.1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start both sources on one clock; frames further apart than `bound` seconds are never a pair."""
        self.paired = 0
        """Pairs of two frames so far."""
        self.single: dict[Modality, int] = dict.fromkeys(MODALITIES, 0)
        """Frames without a partner so far."""
        self.dropped: dict[Modality, int] = dict.fromkeys(MODALITIES, 0)
        """Frames that newer ones replaced while the caller was busy."""
        self._clock = clock
        self.sources: dict[Modality, Source] = {"visible": visible, "thermal": thermal}
        self._offline = visible.offline and thermal.offline
        self._bound = 0.5 / min(visible.rate, thermal.rate) if self._offline else bound
        self._pending: dict[Modality, deque[Frame]] = {modality: deque() for modality in MODALITIES}
        self._last: dict[Modality, Frame] = {}
        self._period = {modality: 1.0 / source.rate for modality, source in self.sources.items()}
        self._offsets: deque[float] = deque(maxlen=MEASURED_PAIRS)
        self._arrived = threading.Event()
        self._epoch = self._clock()
        for source in self.sources.values():
            source.start(self._epoch, self._arrived)

    @property
    def ended(self) -> bool:
        """Whether nothing will follow."""
        nothing_waits = not any(self._pending.values())
        return nothing_waits and all(source.state == "ended" for source in self.sources.values())

    @property
    def states(self) -> dict[Modality, State]:
        """How each camera stands."""
        return {modality: source.state for modality, source in self.sources.items()}

    @property
    def offset(self) -> float | None:
        """Seconds by which the thermal frame is the later one, the median of the last pairs; None before the first."""
        return statistics.median(self._offsets) if self._offsets else None

    def read(self, timeout: float = 0.2) -> Pair | None:
        """The next pair or single frame; None when nothing arrived within `timeout` seconds or all has ended."""
        deadline = self._clock() + timeout
        while True:
            self._arrived.clear()
            for modality, source in self.sources.items():
                if not (self._offline and self._pending[modality]) and (frame := source.read()) is not None:
                    self._take(modality, frame)
            waiting = [self._patience(modality) for modality in MODALITIES if self._pending[modality]]
            if len(waiting) == 2 or (waiting and waiting[0] <= 0.0):
                return self._choose()
            remaining = deadline - self._clock()
            if remaining <= 0.0 or self.ended:
                return None
            self._arrived.wait(min([remaining, *waiting]))

    @property
    def now(self) -> float | None:
        """Seconds since the start; None offline, where time is the file's."""
        return None if self._offline else self._clock() - self._epoch

    def lateness(self, pair: Pair) -> float | None:
        """Seconds since the earlier frame of `pair` was taken; None offline, where time is the file's."""
        return None if self._offline else self._clock() - self._epoch - min(f.time for f in pair.frames.values())

    def _take(self, modality: Modality, frame: Frame) -> None:
        pending = self._pending[modality]
        # the caller was busy until after their time
        while pending and self._patience(modality) <= 0.0:
            pending.popleft()
            self.dropped[modality] += 1
        last = self._last.get(modality)
        if last is not None and 0.0 < frame.time - last.time < SILENCE:
            measured = (frame.time - last.time) / (frame.index - last.index)
            self._period[modality] += 0.1 * (measured - self._period[modality])
        self._last[modality] = frame
        pending.append(frame)

    def _patience(self, modality: Modality) -> float:
        """Seconds that the oldest pending frame of `modality` may still wait for its partner."""
        source, other = self.sources[modality], self.sources[other_modality(modality)]
        last = self._last.get(other.modality)
        now = self._clock() - self._epoch
        if self._offline or last is None or other.state != "up" or now - last.time - other.delay > SILENCE:
            return 0.0
        lateness = max(0.0, other.delay - source.delay)
        age = now - self._pending[modality][0].time - source.delay
        return min(self._bound, PATIENCE * self._period[modality]) + lateness - age

    def _choose(self) -> Pair:
        """The two oldest frames, or the older of them where the other has, or will have, a better partner."""
        frames = {modality: pending[0] for modality, pending in self._pending.items() if pending}
        if len(frames) == 2:
            older: Modality = "visible" if frames["visible"].time < frames["thermal"].time else "thermal"
            if not self._are_partners(older):
                frames = {older: frames[older]}
        for modality in frames:
            self._pending[modality].popleft()
        self._count(frames)
        return Pair(frames, max(frame.time for frame in frames.values()))

    def _are_partners(self, older: Modality) -> bool:
        newer = other_modality(older)
        frame, *successors = self._pending[older]
        partner = self._pending[newer][0]
        distance = partner.time - frame.time
        nearer = any(abs(partner.time - successor.time) < distance for successor in successors[:1])
        awaited = distance > PATIENCE * self._period[older] and self._patience(newer) > 0.0
        return distance <= self._bound and not nearer and not awaited

    def _count(self, frames: dict[Modality, Frame]) -> None:
        if len(frames) == 2:
            self.paired += 1
            self._offsets.append(frames["thermal"].time - frames["visible"].time)
        for modality in frames if len(frames) == 1 else ():
            self.single[modality] += 1
