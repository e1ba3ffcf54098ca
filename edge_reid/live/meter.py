"""How fast a run goes: frames per second of each stream and milliseconds of each stage, now and on the whole."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping

from edge_reid.people.pipeline import Event
from edge_reid.types import MODALITIES, Json, Modality

WINDOW_SECONDS = 2.0
SMOOTHING = 0.1


class Meter:
    """Counts what a run does; its clock is the wall's, not the stream's."""

    def __init__(self) -> None:
        """Start the clock."""
        self.frames = dict.fromkeys(MODALITIES, 0)
        self._events: Counter[tuple[str, str]] = Counter()
        self._people: set[Json] = set()
        self._total: dict[str, float] = {}
        self._steps = 0
        self._recent: dict[str, float] = {}
        self._arrivals: dict[Modality, deque[float]] = {modality: deque() for modality in MODALITIES}
        self._started = self._last = time.monotonic()

    def add(self, modalities: Iterable[Modality], milliseconds: Mapping[str, float]) -> None:
        """Count a step with frames of these cameras and the times of its stages."""
        self._last = time.monotonic()
        for modality in modalities:
            self.frames[modality] += 1
            arrivals = self._arrivals[modality]
            arrivals.append(self._last)
            while arrivals[0] < self._last - WINDOW_SECONDS:
                arrivals.popleft()
        self._steps += 1
        for stage, spent in milliseconds.items():
            self._total[stage] = self._total.get(stage, 0.0) + spent
            self._recent[stage] = spent + (1.0 - SMOOTHING) * (self._recent.get(stage, spent) - spent)

    def count(self, event: Event) -> None:
        """Count an event."""
        self._events[event.name, str(event.details.get("camera", ""))] += 1
        if event.name == "matched":
            self._people.add(event.details["person"])

    def status(self, stream_time: float) -> str:
        """One line for the status bar."""
        rates = "   ".join(f"{modality} {self._rate_now(modality):.0f} fps" for modality in MODALITIES)
        embed, frame = self._recent.get("embed", 0.0), self._recent.get("frame", 0.0)
        clock = f"{int(stream_time // 60):02d}:{stream_time % 60:04.1f}"
        return f"{clock}   {rates}   embed {embed:.0f} ms   frame {frame:.0f} ms   people {len(self._people)}"

    def summary(self) -> dict[str, Json]:
        """Everything counted, as JSON: frames, rates, tracks, matches, mean milliseconds of each stage."""
        seconds = max(self._last - self._started, 1e-9)
        return {
            "seconds": round(seconds, 3),
            "frames": {modality: self.frames[modality] for modality in MODALITIES},
            "fps": {modality: round(self.frames[modality] / seconds, 2) for modality in MODALITIES},
            "tracks": {modality: self._events["track_started", modality] for modality in MODALITIES},
            "matches": self._events["matched", ""],
            "people": len(self._people),
            "milliseconds": {stage: round(spent / self._steps, 3) for stage, spent in self._total.items()},
        }

    def _rate_now(self, modality: Modality) -> float:
        arrivals = self._arrivals[modality]
        span = self._last - arrivals[0] if arrivals else 0.0
        return (len(arrivals) - 1) / span if span > 0.0 else 0.0
