"""Frames of two cameras brought together in time, without one ever waiting for the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_reid.cameras.sources import Frame, Source, State
from edge_reid.types import MODALITIES, Modality, other_modality

SILENCE = 1.0
"""Seconds without a frame after which a camera is no longer waited for."""


@dataclass(frozen=True)
class Pair:
    """What the cameras saw at one time: a frame of each, or of one alone."""

    frames: dict[Modality, Frame]
    time: float
    """Seconds since the start: of the later frame."""


class Pairing:
    """Pairs the frames of a visible and a thermal source.

    Offline, frames are paired by their times in the files, which for equal rates is by index. Live, a frame waits for
    a partner at most half its own period: a partner that comes later lies nearer to the next frame.
    """

    def __init__(
        self, visible: Source, thermal: Source, *, bound: float = 0.1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start both sources on one clock; frames further apart than `bound` seconds are never a pair."""
        self._clock = clock
        self._sources: dict[Modality, Source] = {"visible": visible, "thermal": thermal}
        self._offline = visible.offline and thermal.offline
        self._bound = 0.5 / min(visible.rate, thermal.rate) if self._offline else bound
        self._pending: dict[Modality, Frame] = {}
        self._last: dict[Modality, Frame] = {}
        self._period = {modality: 1.0 / source.rate for modality, source in self._sources.items()}
        self._arrived = threading.Event()
        self._epoch = self._clock()
        for source in self._sources.values():
            source.start(self._epoch, self._arrived)

    @property
    def ended(self) -> bool:
        """Whether nothing will follow."""
        return not self._pending and all(source.state == "ended" for source in self._sources.values())

    @property
    def states(self) -> dict[Modality, State]:
        """Whether each camera is up, down or ended."""
        return {modality: source.state for modality, source in self._sources.items()}

    def read(self, timeout: float = 0.2) -> Pair | None:
        """The next pair or single frame; None when nothing arrived within `timeout` seconds or all has ended."""
        deadline = self._clock() + timeout
        while True:
            self._arrived.clear()
            for modality, source in self._sources.items():
                if modality not in self._pending and (frame := source.read()) is not None:
                    self._take(modality, frame)
            patience = 0.0 if self._offline else self._patience()
            if self._pending and patience <= 0.0:
                return self._choose()
            remaining = deadline - self._clock()
            if remaining <= 0.0 or self.ended:
                return None
            self._arrived.wait(min(remaining, patience) if self._pending else remaining)

    def _take(self, modality: Modality, frame: Frame) -> None:
        last = self._last.get(modality)
        if last is not None and frame.time > last.time:
            measured = (frame.time - last.time) / (frame.index - last.index)
            self._period[modality] += 0.1 * (measured - self._period[modality])
        self._last[modality] = self._pending[modality] = frame

    def _patience(self) -> float:
        """Seconds that the pending frame may still wait for its partner."""
        if len(self._pending) != 1:
            return 0.0
        ((modality, frame),) = self._pending.items()
        other = other_modality(modality)
        last = self._last.get(other)
        now = self._clock() - self._epoch
        if last is None or now - last.time > SILENCE or self._sources[other].state != "up":
            return 0.0
        return min(self._bound, 0.5 * self._period[modality]) - (now - frame.time)

    def _choose(self) -> Pair:
        visible, thermal = (self._pending.get(modality) for modality in MODALITIES)
        if visible is not None and thermal is not None and abs(visible.time - thermal.time) > self._bound:
            older: Modality = "visible" if visible.time < thermal.time else "thermal"
            frames: dict[Modality, Frame] = {older: self._pending.pop(older)}
        else:
            frames, self._pending = self._pending, {}
        return Pair(frames, max(frame.time for frame in frames.values()))
