"""How fast a run goes and how late it is: rates of each stream, milliseconds of each stage, now and on the whole."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from edge_reid.people.view import Event
from edge_reid.types import MODALITIES, Json, Modality

WINDOW_SECONDS = 2.0
SMOOTHING = 0.1

LATEST = 250
"""Steps that `latest` looks at: about ten seconds."""

REMEMBERED = 20_000
"""Steps whose times are kept for the percentiles: about ten minutes."""


class Meter:
    """Counts what a run does; its clock is the wall's, not the stream's."""

    def __init__(self) -> None:
        """Start the clock."""
        self.frames = dict.fromkeys(MODALITIES, 0)
        self.events: Counter[str] = Counter()
        self.tracks = dict.fromkeys(MODALITIES, 0)
        self.started = time.monotonic()
        self._last = self.started
        self._people: set[Json] = set()
        self._forgotten = 0
        """Matched people whose numbers are in the gallery no more, and are never given again."""
        self._spent: dict[str, NDArray[np.float64]] = {}
        self._timed: Counter[str] = Counter()
        self._recent: dict[str, float] = {}
        self._arrivals: dict[Modality, deque[float]] = {modality: deque() for modality in MODALITIES}

    def add(self, modalities: Iterable[Modality], milliseconds: Mapping[str, float]) -> None:
        """Count a step with frames of these cameras and the times of its stages."""
        self._last = time.monotonic()
        for modality in modalities:
            self.frames[modality] += 1
            arrivals = self._arrivals[modality]
            arrivals.append(self._last)
            while arrivals[0] < self._last - WINDOW_SECONDS:
                arrivals.popleft()
        for stage, spent in milliseconds.items():
            if stage not in self._spent:
                # all of its memory at once: what grows for ten minutes looks like a leak
                self._spent[stage] = np.full(REMEMBERED, np.nan)
            self._spent[stage][self._timed[stage] % REMEMBERED] = spent
            self._timed[stage] += 1
            self._recent[stage] = spent + (1.0 - SMOOTHING) * (self._recent.get(stage, spent) - spent)

    def count(self, event: Event) -> None:
        """Count an event."""
        self.events[event.name] += 1
        if event.name == "track_started":
            self.tracks["visible" if event.details["camera"] == "visible" else "thermal"] += 1
        if event.name == "matched" and event.details["person"] is not None:
            self._people.add(event.details["person"])

    def settle(self, known: Iterable[int]) -> None:
        """Keep the numbers of matched people only while they are in the gallery: these; the others still count."""
        kept = self._people.intersection(known)
        self._forgotten += len(self._people) - len(kept)
        self._people = kept

    @property
    def recent(self) -> Mapping[str, float]:
        """Smoothed milliseconds of each stage."""
        return self._recent

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started

    def rate(self, modality: Modality) -> float:
        """Frames per second that are worked on now."""
        arrivals = self._arrivals[modality]
        span = time.monotonic() - arrivals[0] if arrivals else 0.0
        return (len(arrivals) - 1) / span if span > 0.0 else 0.0

    def latest(self, stage: str) -> tuple[float, float] | None:
        """Median and 95th percentile of the last seconds' milliseconds; None before the stage was first timed."""
        count = self._timed[stage]
        if not count:
            return None
        # the newest stands before the place that is written next
        places = np.arange(max(0, count - LATEST), count) % REMEMBERED
        p50, p95 = np.percentile(self._spent[stage][places], (50, 95))
        return float(p50), float(p95)

    def percentiles(self, stage: str) -> dict[str, float]:
        """Mean, median, 95th percentile and longest milliseconds of a stage; empty before it was first timed."""
        if stage not in self._spent:
            return {}
        spent = self._spent[stage][: self._timed[stage]]
        p50, p95 = np.percentile(spent, (50, 95))
        numbers = {"mean": spent.mean(), "p50": p50, "p95": p95, "max": spent.max()}
        return {name: round(float(number), 3) for name, number in numbers.items()}

    def summary(self) -> dict[str, Json]:
        """Everything counted, as JSON: frames, rates, tracks, matches, mean milliseconds of each stage."""
        seconds = max(self._last - self.started, 1e-9)
        return {
            "seconds": round(seconds, 3),
            "frames": {modality: self.frames[modality] for modality in MODALITIES},
            "fps": {modality: round(self.frames[modality] / seconds, 2) for modality in MODALITIES},
            "tracks": {modality: self.tracks[modality] for modality in MODALITIES},
            "matches": self.events["matched"],
            "people": self._forgotten + len(self._people),
            "milliseconds": {stage: self.percentiles(stage)["mean"] for stage in self._spent},
        }

    def profile(self) -> dict[str, Json]:
        """Where the time goes: `percentiles` of each stage."""
        return {stage: dict(self.percentiles(stage)) for stage in self._spent}
