"""Commands on the fleet's database: what it knows, who is where, and what keeps it in order."""

from __future__ import annotations

import json
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, Positional, subcommand

from edge_reid.commands.fleet_changes import (
    Admit,
    Expire,
    FleetForget,
    Merge,
    Migrate,
    OnFleet,
    Rebuild,
    Sync,
    moment,
    space_of,
)
from edge_reid.errors import UserError
from edge_reid.progress import print_table

if TYPE_CHECKING:
    from psycopg import Connection

    from edge_reid.bundle import Bundle
    from edge_reid.fleet.people import Looks
    from edge_reid.fleet.records import FleetPerson
    from edge_reid.types import Modality


@dataclass(frozen=True, kw_only=True)
class Status(OnFleet):
    """Say which galleries the fleet knows, how much is in each, and which devices have not been heard of."""

    json: bool = False
    """Print one JSON document."""

    def run(self) -> None:
        """Print a line per gallery."""
        from edge_reid.fleet import statements as sql

        names = (
            "site", "gallery", "device", "model", "batch", "heard_seconds_ago", "people", "prototypes", "sightings",
            "to_forget",
        )  # fmt: skip
        with self.connected() as connection:
            galleries = [dict(zip(names, row, strict=True)) for row in connection.execute(sql.GALLERIES)]
        if self.json:
            print(json.dumps({"galleries": galleries}))
            return
        rows = [
            (
                one["site"], one["device"], one["gallery"], one["model"][:12], str(one["people"]),
                str(one["prototypes"]), str(one["sightings"]), _ago(one["heard_seconds_ago"]), str(one["to_forget"]),
            )
            for one in galleries
        ]  # fmt: skip
        columns = ("site", "device", "gallery", "model", "people", "prototypes", "sightings", "heard", "to forget")
        print_table(columns, rows)


@dataclass(frozen=True, kw_only=True)
class FleetSearch(OnFleet):
    """Say where and when somebody was, across the fleet, and who looks like them: by pictures, or a person."""

    who: Positional[str | None] = None
    """SITE/DEVICE/NUMBER or SITE/NAME, instead of pictures."""
    visible: tuple[Path, ...] = ()
    """Pictures of the person alone, cut out."""
    thermal: tuple[Path, ...] = ()
    """The same in the thermal view."""
    bundle: Path | None = None
    """Bundle whose vectors are compared; the one that the project carries when not given."""
    detector: str | None = None
    """Cut the person out of whole pictures with hog, hot or onnx:FILE."""
    site: str | None = None
    """Of this site alone."""
    device: str | None = None
    """Of this device of the site alone."""
    since: str | None = None
    """Looks since then, as 2026-11-22 or 2026-11-22T17:30, the machine's time."""
    until: str | None = None
    """Looks until then."""
    people: int = 5
    """Lookalikes at most."""
    most: int = 20
    """Sightings at most, the last first."""
    exact: bool = False
    """Compare with every prototype instead of asking the index."""
    replica: str | None = None
    """Address of a read-only copy that is to do the searching; the audit stays with the first address."""
    json: bool = False
    """Print one JSON document; times are seconds since 1970."""

    def run(self) -> None:
        """Print the person's whereabouts and the lookalikes."""
        from edge_reid.bundle import Bundle
        from edge_reid.fleet import people as fleet
        from edge_reid.fleet.records import Filters
        from edge_reid.reference import bundle_path

        if (self.who is None) == (not (self.visible or self.thermal)):
            raise UserError("search: for whom? give a person, or pictures with --visible or --thermal")
        bundle = Bundle.open(self.bundle or bundle_path())
        filters = Filters(self.site, self.device, _seconds("--since", self.since), _seconds("--until", self.until))
        with self.connected() as primary, self._searching(primary) as connection:
            space = space_of(connection, bundle)
            same = [] if self.who is None else fleet.same_people(connection, fleet.find(connection, self.who))
            seen = self._pictures(bundle) if self.who is None else _looks(connection, same, space[0])
            alike = fleet.lookalikes(
                connection, space, seen, bundle.manifest.matching, most=self.people, filters=filters, exact=self.exact,
                without=same,
            )  # fmt: skip
            known = fleet.describe(connection, same)
            where = fleet.whereabouts(connection, same or [one.known.person for one in alike], self.most)
            fleet.note(primary, same[0] if same else None, "search", self.who, len(alike))
        if self.json:
            print(json.dumps({
                "same": [asdict(one) for one in known], "alike": [asdict(one) for one in alike],
                "whereabouts": [asdict(one) for one in where],
            }))  # fmt: skip
            return
        if known:
            same_rows = [(str(one.person), one.device, one.name or "", moment(one.last_seen)) for one in known]
            print_table(("the same", "device", "name", "last seen"), same_rows)
        alike_rows = [
            (
                str(one.known.person), one.known.device, one.known.name or "", moment(one.known.last_seen),
                f"{one.cosine:.3f}", _verdict(one.surplus),
            )
            for one in alike
        ]  # fmt: skip
        print_table(("looks like", "device", "name", "last seen", "cosine", "by the rule"), alike_rows)
        seen_rows = [(str(one.person), one.device, one.camera, moment(one.began), moment(one.ended)) for one in where]
        print_table(("was there", "device", "camera", "from", "to"), seen_rows)

    def _searching(self, primary: Connection[Any]) -> AbstractContextManager[Connection[Any]]:
        from edge_reid.fleet.address import Address, connected

        return nullcontext(primary) if self.replica is None else connected(Address.read(self.replica))

    def _pictures(self, bundle: Bundle) -> Looks:
        from edge_reid.gallery.enrolment import open_embed, read_shot, single_prototypes

        seen: Looks = {}
        pictures: dict[Modality, tuple[Path, ...]] = {"visible": self.visible, "thermal": self.thermal}
        for modality, paths in pictures.items():
            if paths:
                import numpy as np

                shots = [read_shot(path, modality, bundle.manifest.input_size, self.detector) for path in paths]
                with open_embed(bundle, modality) as embed:
                    looks = single_prototypes(shots, modality, embed, time.time())
                seen[modality] = np.stack([look.vector for look in looks])
        return seen


@dataclass(frozen=True, kw_only=True)
class FleetRecall(OnFleet):
    """Measure how often the index finds who is nearest, and how long it takes, beside comparing everything."""

    bundle: Path | None = None
    """Bundle whose vectors are meant; the one that the project carries when not given."""
    searches: int = 50
    """With so many prototypes of each modality, drawn at random."""
    json: bool = False
    """Print one JSON document."""

    def run(self) -> None:
        """Print a line per modality."""
        from edge_reid.bundle import Bundle
        from edge_reid.fleet.search import recall
        from edge_reid.reference import bundle_path
        from edge_reid.types import MODALITIES

        if self.searches < 1:
            raise UserError(f"--searches {self.searches}: needs at least 1")
        bundle = Bundle.open(self.bundle or bundle_path())
        with self.connected() as connection:
            space = space_of(connection, bundle)
            found = {modality: recall(connection, space, modality, self.searches) for modality in MODALITIES}
        if self.json:
            print(json.dumps({modality: one and asdict(one) for modality, one in found.items()}))
            return
        rows = [
            (
                modality, str(one.searches), f"{one.first:.3f}", f"{one.ten:.3f}", f"{one.index_ms:.1f}",
                f"{one.exact_ms:.1f}",
            )
            if one
            else (modality, "too few", "", "", "", "")
            for modality, one in found.items()
        ]  # fmt: skip
        print_table(("", "searches", "recall@1", "recall@10", "index ms", "exact ms"), rows)


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The galleries of many devices in one PostgreSQL: who is in them, who was where, and keeping them in order."""

    action: OmitArgPrefixes[
        OmitSubcommandPrefixes[
            Annotated[Migrate, subcommand("migrate")]
            | Annotated[Admit, subcommand("admit")]
            | Annotated[Status, subcommand("status")]
            | Annotated[FleetSearch, subcommand("search")]
            | Annotated[FleetRecall, subcommand("recall")]
            | Annotated[Merge, subcommand("merge")]
            | Annotated[FleetForget, subcommand("forget")]
            | Annotated[Expire, subcommand("expire")]
            | Annotated[Rebuild, subcommand("rebuild")]
            | Annotated[Sync, subcommand("sync")]
        ]
    ]

    def run(self) -> None:
        """Do it."""
        self.action.run()


def _looks(connection: Connection[Any], people: list[FleetPerson], space: int) -> Looks:
    """How any of the people looks, those of one modality together."""
    import numpy as np

    from edge_reid.fleet.people import looks

    found: Looks = {}
    for person in people:
        for modality, vectors in looks(connection, person, space).items():
            found[modality] = np.concatenate([found[modality], vectors]) if modality in found else vectors
    return found


def _seconds(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise UserError(f"{option} {text}: no time; write 2026-11-22 or 2026-11-22T17:30") from error


def _verdict(surplus: float | None) -> str:
    if surplus is None:
        return ""
    return "the same person" if surplus >= 0 else "unsure"


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"
