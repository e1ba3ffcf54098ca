"""What the page is told, as JSON."""

from __future__ import annotations

import math

from edge_reid.gallery.records import Person
from edge_reid.live.drawing import color_of
from edge_reid.types import Json
from edge_reid.web.board import SILENT_SECONDS, Board, CameraNow, Present, Visit


def now_words(board: Board) -> dict[str, Json]:
    """The newest state; before the first step only that there is none."""
    latest = board.latest
    if latest is None:
        return {"health": board.health, "now": None}
    now = latest.now
    return {
        "health": board.health,
        "silence": _rounded(board.silence, 1) if board.silence > SILENT_SECONDS else None,
        "now": {
            "time": _rounded(now.time, 3),
            "uptime": _rounded(now.uptime, 1),
            "version": now.version,
            "present": [_present(person) for person in now.present],
            "cameras": {modality: _camera(camera) for modality, camera in now.cameras.items()},
            "engines": dict(now.engines.items()),
            "latency": {quantile: _rounded(seconds, 4) for quantile, seconds in now.latency.items()},
            "stages": {stage: _rounded(spent, 2) for stage, spent in now.stages.items()},
            "pair_offset": _rounded(now.pair_offset, 4),
            "celsius": _rounded(now.celsius, 1),
            "gallery_size": now.gallery_size,
            "events": dict(now.events.items()),
            "queues": {name: {"length": it.length, "dropped": it.dropped} for name, it in now.queues.items()},
        },
    }


def known_words(person: Person) -> Json:
    """Someone of the gallery."""
    return {
        "person": person.number,
        "name": person.name,
        "color": _color(person.number),
        "first_seen": _rounded(person.first_seen, 1),
        "last_seen": _rounded(person.last_seen, 1),
        "expires": _rounded(person.expires, 1),
        "prototypes": dict(person.prototypes.items()),
    }


def visit_words(visit: Visit) -> Json:
    """Someone's time in a view."""
    return {
        "person": visit.person,
        "name": visit.name,
        "color": _color(visit.person),
        "camera": visit.camera,
        "began": _rounded(visit.began, 1),
        "ended": _rounded(visit.ended, 1),
    }


def _present(person: Present) -> Json:
    return {
        "person": person.person,
        "name": person.name,
        "color": _color(person.person),
        "tracks": dict(person.tracks.items()),
        "since": _rounded(person.since, 1),
    }


def _camera(camera: CameraNow) -> Json:
    return {
        "name": camera.name,
        "state": camera.state,
        "rate": _rounded(camera.rate, 1),
        "age": _rounded(camera.age, 2),
        "size": list(camera.size) if camera.size else None,
        "received": camera.received,
        "dropped": camera.dropped,
        "stalls": camera.stalls,
        "reconnects": camera.reconnects,
        "frozen": camera.frozen,
        "problem": camera.problem,
    }


def _color(person: int | None) -> str:
    """The color that a person has in the picture."""
    blue, green, red = color_of(person)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _rounded(value: float | None, digits: int) -> float | None:
    """JSON has no word for what is not finite."""
    return None if value is None or not math.isfinite(value) else round(float(value), digits)
