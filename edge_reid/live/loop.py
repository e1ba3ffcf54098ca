"""The loop between the cameras and all that shows, keeps or sends what they saw. It waits for nothing but them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from edge_reid.cameras.pairing import Pair, Pairing
from edge_reid.cameras.sources import State
from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.live.desk import Desk
from edge_reid.live.drawing import Canvas, Image
from edge_reid.live.meter import Meter
from edge_reid.live.presence import Presence
from edge_reid.live.recording import Recording
from edge_reid.live.records import TrackFiles
from edge_reid.live.window import Window
from edge_reid.machine_state import hottest
from edge_reid.people.identities import Identities
from edge_reid.people.pipeline import Pipeline
from edge_reid.people.view import Event, View
from edge_reid.types import MODALITIES, Modality

SHOWN_SECONDS = 0.1
"""Between two states of the page and the watchdog."""

HOUSEKEEPING_SECONDS = 1.0
VISIT_SECONDS = 10.0
EXPIRY_SECONDS = 60.0

LATE_SECONDS = 5.0
"""Without a first picture after which a camera counts as lost: it may have been absent from the start."""

STATE_EVENTS: dict[State, str] = {
    "up": "source_back",
    "down": "source_lost",
    "stalled": "source_stalled",
    "ended": "source_ended",
}

ALERTS: dict[State, str] = {
    "connecting": "waiting for the camera",
    "stalled": "no new picture",
    "down": "camera lost, reconnecting",
    "ended": "ended",
}
"""What a panel says of a camera that is not up."""


@dataclass(frozen=True)
class Outputs:
    """What the loop serves; None where nobody asked for it."""

    tell: Callable[[Event], None]
    window: Window | None = None
    record: Recording | None = None
    tracks: TrackFiles | None = None
    publish: Callable[[Loop, Callable[[], Image]], None] | None = None
    alive: Callable[[], None] = field(default=lambda: None)
    """Called every second: the loop is not stuck."""


class Loop:
    """Frames in; events, pictures and tracks out."""

    def __init__(
        self, pairing: Pairing, pipeline: Pipeline, gallery: SqliteGallery, identities: Identities, desk: Desk,
        outputs: Outputs, *, epoch: float,
    ) -> None:  # fmt: skip
        """Take the parts; `epoch` is what the stream's second 0 is in seconds since 1970."""
        self.pairing = pairing
        self.gallery = gallery
        self.meter = Meter()
        self.presence = Presence()
        self.names: Mapping[int, str] = {}
        self.now = 0.0
        """Seconds since the start of the newest frame."""
        self.epoch = epoch
        self.celsius: float | None = None
        """Of the device's hottest sensor."""
        self._pipeline = pipeline
        self._identities = identities
        self._desk = desk
        self._outputs = outputs
        self._states: dict[Modality, State] = dict(pairing.states)
        self._images: dict[Modality, Image] = {}
        self.view = View(
            {modality: [] for modality in MODALITIES}, [], {modality: [] for modality in MODALITIES}, [], {}
        )
        self._canvas, self._page = Canvas(), Canvas()
        self._due: dict[str, float] = {}

    def run(self, stop: threading.Event, most: int | None) -> None:
        """Go on until the sources end, `stop` is set or `most` steps are done; all tracks are ended then."""
        steps = 0
        while not stop.is_set() and not self.pairing.ended and (most is None or steps < most):
            pair = self.pairing.read()
            self._desk.serve()
            self._tell_states()
            if pair is not None:
                steps += 1
                self._step(pair, stop)
            elif (now := self.pairing.now) is not None:
                self._idle(now, stop)
            self._keep_house()
        self._tell_states()
        for event in [*self._pipeline.finish(self.now), *self.presence.finish(self.now)]:
            self._tell(event)

    @property
    def status(self) -> str:
        """One line for the status bar."""
        minutes, seconds = divmod(self.now, 60.0)
        late = self.meter.recent.get("latency", self.meter.recent.get("frame", 0.0))
        offset = self.pairing.offset
        reconnects = sum(source.health().reconnects for source in self.pairing.sources.values())
        parts = [f"{int(minutes):02d}:{seconds:04.1f}"]
        if not all(source.offline for source in self.pairing.sources.values()):
            # of files that are read as fast as they can be worked they would say nothing of the cameras
            parts += [f"{modality} {self.meter.rate(modality):.0f} fps" for modality in MODALITIES]
            parts += [f"{late:.0f} ms"]
        parts += [] if offset is None else [f"offset {1e3 * offset:.0f} ms"]
        parts += [f"people {len(self.view.people)}", f"reconnects {reconnects}"]
        parts += [] if self.celsius is None else [f"{self.celsius:.0f} C"]
        return "   ".join(parts)

    def _step(self, pair: Pair, stop: threading.Event) -> None:
        began = time.perf_counter()
        self.now = max(self.now, pair.time)
        self.view = view = self._pipeline.step(pair.frames)
        for event in [*view.events, *self.presence.step(view, pair.time)]:
            self._tell(event)
        spent = dict(view.milliseconds)
        if (late := self.pairing.lateness(pair)) is not None:
            spent["latency"] = 1e3 * late
        if self._outputs.tracks:
            self._outputs.tracks.write(pair.frames, view)
        self._images |= {modality: frame.image for modality, frame in pair.frames.items()}
        worked = time.perf_counter()
        if self._outputs.window or self._outputs.record:
            picture = self._draw(self._canvas, self._images, view, self.status)
            if self._outputs.record:
                self._outputs.record.write(picture, pair.time)
            if self._outputs.window and not self._outputs.window.show(picture):
                stop.set()
        ended = time.perf_counter()
        self.meter.add(pair.frames, spent | {"draw": 1e3 * (ended - worked), "frame": 1e3 * (ended - began)})

    def _idle(self, now: float, stop: threading.Event) -> None:
        """No camera sends anything: whoever was there leaves in time, and the window goes on."""
        self.now = max(self.now, now)
        self.view = view = self._pipeline.idle(self.now)
        for event in [*view.events, *self.presence.step(view, self.now)]:
            self._tell(event)
        if self._outputs.window and not self._outputs.window.show(
            self._draw(self._canvas, self._images, view, self.status)
        ):
            stop.set()

    def _draw(self, canvas: Canvas, images: Mapping[Modality, Image], view: View, status: str = "") -> Image:
        canvas.take(images)
        states = self.pairing.states
        alerts = {modality: ALERTS[state] for modality, state in states.items() if state in ALERTS}
        return canvas.draw(view, self.names, alerts, status)

    def _tell(self, event: Event) -> None:
        # a camera that is known to be late sends what was seen before the start
        event = event if event.time >= 0.0 else replace(event, time=0.0)
        if event.name == "identified" and isinstance(person := event.details["person"], int) and person in self.names:
            event = replace(event, details=event.details | {"name": self.names[person]})
        self.meter.count(event)
        self._outputs.tell(event)

    def _tell_states(self) -> None:
        for modality, state in self.pairing.states.items():
            if state == "connecting" and (self.pairing.now or 0.0) > LATE_SECONDS:
                state = "down"
            if state != self._states[modality]:
                if state in STATE_EVENTS and (state, self._states[modality]) != ("up", "connecting"):
                    self._tell(Event(STATE_EVENTS[state], self.now, {"camera": modality}))
                self._states[modality] = state

    def _keep_house(self) -> None:
        """What is due by the clock: the page, the watchdog, what others did to the gallery, who is to go from it."""
        if self._is_due("shown", SHOWN_SECONDS) and self._outputs.publish:
            images, view = dict(self._images), self.view
            self._outputs.publish(self, partial(self._draw, self._page, images, view))
        if self._is_due("house", HOUSEKEEPING_SECONDS):
            self._outputs.alive()
            self._follow_clock()
            self.celsius = hottest()
            self.names = self.gallery.names()
            if self.gallery.refresh():
                self._drop_forgotten()
        if self._is_due("visits", VISIT_SECONDS):
            self._identities.note()
        if self._is_due("expiry", EXPIRY_SECONDS) and self.gallery.expire(self.epoch + self.now):
            self._drop_forgotten()

    def _drop_forgotten(self) -> None:
        self._identities.drop_forgotten()
        self.meter.settle(person.number for person in self.gallery.people())

    def _follow_clock(self) -> None:
        """A device without a battery learns the time of day some while after it has started."""
        now = self.pairing.now
        if now is not None and abs(time.time() - now - self.epoch) > 1.0:
            self.epoch = self._identities.epoch = time.time() - now

    def _is_due(self, name: str, seconds: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(name, 0.0):
            return False
        self._due[name] = now + seconds
        return True
