"""Everything that a run would do first, done once and told: for the one who sets a device up."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from edge_reid.cameras.geometry import GroundPlane
from edge_reid.cameras.probe import probe
from edge_reid.errors import UserError
from edge_reid.gallery.cipher import read_key
from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.live.networks import Networks, open_networks
from edge_reid.live.options import Options
from edge_reid.live.parts import pattern
from edge_reid.live.recording import refuse_recording
from edge_reid.live.records import refuse_other_than_tracks
from edge_reid.live.run import open_detectors, page_address
from edge_reid.live.window import can_show
from edge_reid.web.keys import given_token


def check(options: Options) -> list[str]:
    """Open all that the options name, write nothing, and say in a line each what a run would do.

    Raises:
        UserError: the first thing that a run would stumble over.
    """
    lines = []
    with open_networks(options) as networks:
        lines += _networks(options, networks)
        detectors = open_detectors(options)
        lines += [f"{modality} detector: {detector.description}" for modality, detector in detectors.items()]
        if options.homography:
            GroundPlane.read(options.homography)
        lines.append(f"matching: by {'place and appearance' if options.homography else 'appearance alone'}")
        lines.append(_gallery(options, networks))
    lines.append(f"visible camera: {probe(options.visible, 'visible')}")
    lines.append(f"thermal camera: {probe(options.thermal, 'thermal')}")
    return lines + _outputs(options)


def _networks(options: Options, networks: Networks) -> list[str]:
    rule = networks.rule
    threshold = (
        f"a couple in view from cosine {rule.between.unknown:.3f}, remembered people with a margin of {rule.margin:.3f}"
    )
    return [
        f"{modality} network: {name} ({networks.reasons[modality]})" for modality, name in networks.names.items()
    ] + [f"one person: {threshold}"]


def _gallery(options: Options, networks: Networks) -> str:
    file, address = options.memory()
    if file is None:
        return "gallery: in memory, forgotten at the end"
    fleet = "" if address is None else f", told to {_fleet(address, networks)}"
    key = read_key(options.gallery_key)
    if not file.exists():
        _writable(file, "--gallery")
        return f"gallery: {file}, to be made{fleet}"
    # as it is: for how long people are kept is not changed by a look
    gallery = SqliteGallery(file, space=networks.space, dimension=networks.dimension, key=key)
    try:
        return f"gallery: {file}, {gallery.count()} people{fleet}"
    finally:
        gallery.close()


def _fleet(address: str, networks: Networks) -> str:
    """Log in as a run would, and leave nothing there; a run would go on without the fleet."""
    from edge_reid.fleet.address import Address, connected
    from edge_reid.fleet.push import login_of, space_number

    read = Address.read(address)
    with connected(read) as connection:
        site, device = login_of(connection)
        space_number(connection, networks.space, networks.dimension)
    return f"{read.name} as {site}/{device}"


def _outputs(options: Options) -> list[str]:
    lines = []
    refuse_recording(options.record, options.record_gigabytes)
    for name in ("events", "record", "tracks"):
        path: Path | None = getattr(options, name)
        if path is not None:
            if name != "tracks" and path.is_dir():
                raise UserError(f"--{name} {path}: is a folder; name a file")
            _writable(path, f"--{name}")
            if name == "tracks":
                refuse_other_than_tracks(path)
            in_parts = name == "record" and options.record_gigabytes is not None
            bound = f", of {options.record_gigabytes:g} GB together at most" if in_parts else ""
            lines.append(f"{name}: {pattern(path) if in_parts else path}{bound}")
    lines += [f"events also to: {name}" for name in _receivers(options)]
    if options.events is None and (options.webhook or options.mqtt):
        raise UserError("--webhook and --mqtt send what is in the file of events; give --events FILE, too")
    if options.web:
        from edge_reid.web.server import listen  # the extra may be missing

        host, port = page_address(options)
        listen(host, port, given_token(options.web_token)).close()
        lines.append(f"page: on {host}, port {port}")
    if not options.headless:
        lines.append("window: yes" if can_show() else "window: no display here, headless")
    return lines


def _receivers(options: Options) -> list[str]:
    """Those of events; nobody is connected to, or a broker would take this for the app that it may be serving."""
    names = []
    if options.webhook:
        from edge_reid.events.webhook import Webhook

        names.append(Webhook(options.webhook, os.environ.get("EDGE_REID_WEBHOOK_SECRET")).name)
    if options.mqtt:
        from edge_reid.events.mqtt import Broker

        broker = Broker.read(options.mqtt)
        names.append(f"mqtt {broker.host}:{broker.port}")
    return names


def _writable(path: Path, option: str) -> None:
    """Raises UserError where a file or folder could not be made."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise UserError(f"{option} {path}: {folder} is no folder; choose another place")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"{option} {path}: {folder} cannot be written to ({error.strerror}); choose another place"
        ) from error
