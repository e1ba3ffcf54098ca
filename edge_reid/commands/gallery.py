"""Commands on a gallery's file: who is in it, who was where, who looked, and those that change it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, Positional, subcommand

from edge_reid.commands.gallery_changes import (
    Enrol,
    ExportGallery,
    Forget,
    Import,
    Key,
    OnFile,
    Rename,
    find,
    opened,
)
from edge_reid.progress import print_table

if TYPE_CHECKING:
    from edge_reid.gallery.records import Person


@dataclass(frozen=True, kw_only=True)
class List(OnFile):
    """Say who is in a gallery."""

    json: bool = False
    """Print one JSON document; times are seconds since 1970."""

    def run(self) -> None:
        """Print a line per person."""
        with opened(self.file, self.key) as gallery:
            people = gallery.people()
            gallery.accessed("list", count=len(people))
        if self.json:
            print(json.dumps([asdict(person) for person in people]))
        else:
            _print_people(people)


@dataclass(frozen=True, kw_only=True)
class Show(OnFile):
    """Say what is known of one person."""

    who: Positional[str]
    """Number or name."""
    most: int = 20
    """Sightings at most, the last first."""
    json: bool = False
    """Print one JSON document; times are seconds since 1970."""

    def run(self) -> None:
        """Print the person, and when which camera saw them."""
        with opened(self.file, self.key) as gallery:
            person = find(gallery, self.file, self.who)
            sightings = gallery.sightings(person.number, most=self.most)
            gallery.accessed("show", person.number, len(sightings))
        if self.json:
            print(json.dumps({**asdict(person), "sightings": [asdict(sighting) for sighting in sightings]}))
            return
        _print_people([person])
        rows = [(sighting.camera, _moment(sighting.began), _moment(sighting.ended)) for sighting in sightings]
        print_table(("camera", "from", "to"), rows, title=_zone())


@dataclass(frozen=True, kw_only=True)
class Stats(OnFile):
    """Say how much a gallery holds, of which model, and for how long it keeps it."""

    json: bool = False
    """Print one JSON document; times are seconds."""

    def run(self) -> None:
        """Print a line per number."""
        with opened(self.file, self.key) as gallery:
            stats = asdict(gallery.stats())
        if self.json:
            print(json.dumps(stats))
            return
        flat = stats | {f"prototypes {modality}": count for modality, count in stats.pop("prototypes").items()}
        flat |= {f"keep {what}": _span(value) for what, value in stats.pop("keep").items() if what != "prototypes"}
        rows = [(what, str(value)) for what, value in flat.items() if not isinstance(value, dict)]
        print_table(("", str(self.file)), rows)


@dataclass(frozen=True, kw_only=True)
class Audit(OnFile):
    """Say who looked and who changed or deleted what."""

    most: int = 50
    """Lines at most, the last first."""
    json: bool = False
    """Print one JSON document; times are seconds since 1970."""

    def run(self) -> None:
        """Print a line per access."""
        with opened(self.file, self.key) as gallery:
            accesses = gallery.audit(self.most)
        if self.json:
            print(json.dumps([asdict(access) for access in accesses]))
            return
        rows = [
            (_moment(access.time), access.actor, access.action, str(access.person or ""), str(access.count))
            for access in accesses
        ]
        print_table(("time", "who", "did", "person", "count"), rows, title=_zone())


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The people whom cameras know: look, enrol, rename, forget, export, import."""

    action: OmitArgPrefixes[
        OmitSubcommandPrefixes[
            Annotated[List, subcommand("list")]
            | Annotated[Show, subcommand("show")]
            | Annotated[Enrol, subcommand("enrol")]
            | Annotated[Rename, subcommand("rename")]
            | Annotated[Forget, subcommand("forget")]
            | Annotated[ExportGallery, subcommand("export")]
            | Annotated[Import, subcommand("import")]
            | Annotated[Stats, subcommand("stats")]
            | Annotated[Audit, subcommand("audit")]
            | Annotated[Key, subcommand("key")]
        ]
    ]

    def run(self) -> None:
        """Do it."""
        self.action.run()


def _print_people(people: Sequence[Person]) -> None:
    rows = [
        (
            str(person.number), person.name or "", _moment(person.first_seen), _moment(person.last_seen),
            "never" if person.expires is None else _moment(person.expires),
            *(str(person.prototypes.get(modality, 0)) for modality in ("visible", "thermal")),
        )
        for person in people
    ]  # fmt: skip
    print_table(("person", "name", "first seen", "last seen", "forgotten", "visible", "thermal"), rows, title=_zone())


def _span(seconds: float | None) -> str:
    from edge_reid.gallery.records import DAY

    if seconds is None:
        return "for ever"
    return f"{seconds / 3600:g} hours" if seconds < 2 * DAY else f"{seconds / DAY:g} days"


def _zone() -> str:
    return time.strftime("times of this machine's zone, now %Z, UTC%z")


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
