"""Everything that a run on two cameras needs, opened from its options, and closed again whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from edge_reid.cameras.geometry import GroundPlane
from edge_reid.cameras.pairing import Pairing
from edge_reid.cameras.sources import open_source
from edge_reid.errors import UserError
from edge_reid.events.delivery import Receiver
from edge_reid.events.events import Events
from edge_reid.gallery.cipher import read_key
from edge_reid.gallery.records import DAY, Keep
from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.live.desk import Desk
from edge_reid.live.drawing import Image
from edge_reid.live.loop import Loop, Outputs
from edge_reid.live.networks import Networks, open_networks, say
from edge_reid.live.options import Options
from edge_reid.live.parts import pattern
from edge_reid.live.publish import Queues, now_of
from edge_reid.live.recording import recording
from edge_reid.live.records import track_files
from edge_reid.live.service import notify
from edge_reid.live.window import Window, can_show
from edge_reid.people.detection import Detector, load_detectors
from edge_reid.people.identities import Identities
from edge_reid.people.matching import Matcher
from edge_reid.people.pipeline import Pipeline
from edge_reid.people.view import Event
from edge_reid.types import MODALITIES, Json, Modality

if TYPE_CHECKING:
    from edge_reid.fleet.link import FleetLink  # an extra


def run(options: Options) -> dict[str, Json]:
    """Work until the sources end or someone stops it, and return the summary."""
    with open_networks(options) as networks:
        engines: dict[str, Json] = {"engines": {str(modality): name for modality, name in networks.names.items()}}
        return work(options, networks) | engines


def work(options: Options, networks: Networks) -> dict[str, Json]:
    """Open cameras, gallery and outputs and follow people with any networks."""
    ground = GroundPlane.read(options.homography) if options.homography else None
    detectors = open_detectors(options)
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(_stopping())
        gallery = open_gallery(options, networks)
        stack.callback(gallery.close)
        fleet = open_fleet(options, gallery)
        if fleet is not None:
            stack.callback(fleet.close)
        events = open_events(options)
        stack.callback(events.close)
        visible = open_source(options.visible, "visible", offline=options.offline)
        stack.callback(visible.close)
        thermal = open_source(options.thermal, "thermal", offline=options.offline)
        stack.callback(thermal.close)
        rate = max(visible.rate, thermal.rate)
        record = stack.enter_context(
            recording(options.record, rate, patient=options.offline, gigabytes=options.record_gigabytes)
        )
        tracks = stack.enter_context(track_files(options.tracks))
        window = None if options.headless else _window()
        if window:
            stack.callback(window.close)
        epoch = time.time()
        identities = Identities(gallery, networks.rule, epoch=epoch)
        desk = Desk(gallery, identities)
        pipeline = Pipeline(
            detectors, networks.embed, networks.size, Matcher(networks.rule.between.unknown), identities, ground
        )
        publish = _page(options, desk, Queues(events, fleet), networks, stack)
        outputs = Outputs(partial(_tell, events), window, record, tracks, publish, partial(notify, "WATCHDOG=1"))
        loop = Loop(Pairing(visible, thermal), pipeline, gallery, identities, desk, outputs, epoch=epoch)
        for modality in MODALITIES:
            say(f"{networks.names[modality]} ({networks.reasons[modality]}); {detectors[modality].description}")
        events.write("started", 0.0, {"version": version("edge-reid")})
        notify("READY=1")
        reason = "failed"
        try:
            loop.run(stop, options.max_frames)
            reason = "requested" if stop.is_set() else "ended"
        finally:
            events.write("stopped", loop.now, {"reason": reason})
            notify("STOPPING=1")
        return _summary(options, loop)


def open_detectors(options: Options) -> dict[Modality, Detector]:
    """The detector of each camera.

    Raises:
        UserError: there is no such detector, or its file is none.
    """
    return load_detectors(options.detector, {"visible": options.visible_detector, "thermal": options.thermal_detector})


def open_gallery(options: Options, networks: Networks) -> SqliteGallery:
    """The file of --gallery, or one in memory.

    Raises:
        UserError: the file is damaged, of another model, or the key is wrong.
    """
    days = options.forget_named_after_days
    keep = Keep(anonymous=3600.0 * options.forget_after_hours, named=None if days == "never" else DAY * days)
    file, _ = options.memory()
    return SqliteGallery(
        file, space=networks.space, dimension=networks.dimension, keep=keep,
        key=read_key(options.gallery_key), keep_crops=options.keep_crops,
    )  # fmt: skip


def open_fleet(options: Options, gallery: SqliteGallery) -> FleetLink | None:
    """What tells the fleet, where there is one. That it is out of reach is no error.

    Raises:
        UserError: the address is none.
    """
    _, address = options.memory()
    if address is None:
        return None
    from edge_reid.fleet.address import Address
    from edge_reid.fleet.link import FleetLink

    return FleetLink(gallery, Address.read(address))


def open_events(options: Options) -> Events:
    """The file of events and its receivers.

    Raises:
        UserError: one of them cannot be used.
    """
    return Events(options.events, receivers_of(options), names=options.event_names)


def receivers_of(options: Options) -> list[Receiver]:
    """Who else is told of events; secrets come from the environment, never from the command line.

    Raises:
        UserError: an address is none.
    """
    receivers: list[Receiver] = []
    if options.webhook:
        from edge_reid.events.webhook import Webhook

        receivers.append(Webhook(options.webhook, os.environ.get("EDGE_REID_WEBHOOK_SECRET")))
    if options.mqtt:
        from edge_reid.events.mqtt import Mqtt

        user, password = (os.environ.get(f"EDGE_REID_MQTT_{part}") for part in ("USER", "PASSWORD"))
        receivers.append(Mqtt(options.mqtt, user, password))
    return receivers


def page_address(options: Options) -> tuple[str, int]:
    """Host and port of --web-address.

    Raises:
        UserError: it is none.
    """
    host, _, port = options.web_address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise UserError(f"--web-address {options.web_address}: needs HOST:PORT, as in 127.0.0.1:8080")
    return host.strip("[]"), int(port)


def _page(
    options: Options, desk: Desk, queues: Queues, networks: Networks, stack: contextlib.ExitStack
) -> Callable[[Loop, Callable[[], Image]], None] | None:
    """What shows the loop on a page, where --web asks for one; the page closes with `stack`."""
    if not options.web:
        return None
    from edge_reid.web.board import Board
    from edge_reid.web.keys import given_token
    from edge_reid.web.server import serve

    board = Board()
    server = serve(board, desk, *page_address(options), given_token(options.web_token))
    stack.callback(server.close)
    say(f"page at {server.url}")

    def publish(loop: Loop, draw: Callable[[], Image]) -> None:
        board.publish(now_of(loop, queues, networks.names), draw)

    return publish


def _tell(events: Events, event: Event) -> None:
    events.write(event.name, event.time, event.details)


def _window() -> Window | None:
    if can_show():
        return Window("edge-reid")
    say("no display here, running headless")
    return None


@contextlib.contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, so that the loop ends and the files are completed; again, and it aborts."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def request(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, signal.default_int_handler)

    for number in before:
        signal.signal(number, request)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _summary(options: Options, loop: Loop) -> dict[str, Json]:
    record = options.record if options.record is None or options.record_gigabytes is None else pattern(options.record)
    files = {"events": options.events, "record": record, "tracks": options.tracks, "gallery": options.memory()[0]}
    health = {modality: source.health() for modality, source in loop.pairing.sources.items()}
    summary = loop.meter.summary() | {
        "cameras": {
            modality: {
                "state": now.state, "received": now.received, "dropped": now.dropped, "stalls": now.stalls,
                "reconnects": now.reconnects, "frozen": now.frozen,
            }
            for modality, now in health.items()
        },
        "known": loop.gallery.count(),
        "files": {name: str(path) for name, path in files.items() if path is not None},
    }  # fmt: skip
    return summary | ({"profile": loop.meter.profile()} if options.profile else {})
