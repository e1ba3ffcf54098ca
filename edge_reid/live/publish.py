"""What the loop tells the page and the monitor of one moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from edge_reid.cameras.sources import Source
from edge_reid.events.events import Events
from edge_reid.live.loop import Loop
from edge_reid.live.meter import Meter
from edge_reid.types import Modality
from edge_reid.web.board import CameraNow, Now, Present, QueueNow

if TYPE_CHECKING:
    from edge_reid.fleet.link import FleetLink  # an extra

VERSION = version("edge-reid")


@dataclass(frozen=True)
class Queues:
    """What waits to be written or sent."""

    events: Events
    fleet: FleetLink | None

    def now(self) -> dict[str, QueueNow]:
        """By name."""
        queues = {} if self.fleet is None else {"fleet": QueueNow(self.fleet.waiting, 0)}
        counts = self.events.counts()
        if counts:
            queues["events"] = QueueNow(counts["in_memory"], counts["lost"])
        for name in counts:
            if name.endswith("_waiting"):
                kind = name.removesuffix("_waiting")
                queues[kind] = QueueNow(counts[name], counts[f"{kind}_dropped"] + counts[f"{kind}_refused"])
        return queues


def now_of(loop: Loop, queues: Queues, engines: Mapping[Modality, str]) -> Now:
    """Everything that there is to show."""
    meter = loop.meter
    return Now(
        time=loop.epoch + loop.now,
        uptime=meter.seconds,
        version=VERSION,
        present=(*_known(loop), *_unknown(loop)),
        cameras={modality: _camera(loop, modality, source) for modality, source in loop.pairing.sources.items()},
        engines=engines,
        latency=_latency(meter),
        stages={stage: milliseconds for stage, milliseconds in meter.recent.items() if stage != "latency"},
        pair_offset=loop.pairing.offset,
        celsius=loop.celsius,
        gallery_size=loop.gallery.count(),
        events=dict(meter.events),
        queues=queues.now(),
    )


def _known(loop: Loop) -> Iterator[Present]:
    for present in loop.presence.people:
        yield Present(present.person, loop.names.get(present.person), present.tracks, loop.epoch + present.since)


def _unknown(loop: Loop) -> Iterator[Present]:
    for modality, sightings in loop.view.sightings.items():
        for sighting in sightings:
            if sighting.person is None:
                yield Present(None, None, {modality: sighting.track}, loop.epoch + sighting.started)


def _camera(loop: Loop, modality: Modality, source: Source) -> CameraNow:
    health = source.health()
    return CameraNow(
        name=source.name, state=health.state, rate=health.rate, age=health.age,
        size=None if health.size is None else health.size[::-1], received=health.received,
        dropped=health.dropped + loop.pairing.dropped[modality],
        stalls=health.stalls, reconnects=health.reconnects, frozen=health.frozen,
        problem=health.problem,
    )  # fmt: skip


def _latency(meter: Meter) -> dict[str, float]:
    times = meter.latest("latency")
    return {"0.5": times[0] / 1e3, "0.95": times[1] / 1e3} if times else {}
