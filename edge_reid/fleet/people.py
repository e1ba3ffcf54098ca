"""What an operator asks and does about people of the fleet. Every look and every change is a line of the audit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection

from edge_reid.errors import UserError
from edge_reid.fleet import statements as sql
from edge_reid.fleet.records import Filters, FleetPerson, Whereabouts
from edge_reid.fleet.search import LOOKS, nearest
from edge_reid.matching_rule import MatchingRule
from edge_reid.types import MODALITIES, Modality

Looks = dict[Modality, NDArray[np.float32]]
"""Unit vectors `(n, D)` of one person by modality."""


@dataclass(frozen=True)
class Known:
    """A person of a gallery; times are seconds since 1970."""

    person: FleetPerson
    device: str
    name: str | None
    first_seen: float
    last_seen: float
    expires: float | None
    """None: never."""


@dataclass(frozen=True)
class Lookalike:
    """Somebody who looks like the one searched for."""

    known: Known
    cosine: float
    surplus: float | None
    """By how much the cosine exceeds what the bundle's matching rule asks for; None where the bundle has none."""


def find(connection: Connection[Any], who: str) -> FleetPerson:
    """The person called SITE/GALLERY/NUMBER, SITE/DEVICE/NUMBER or SITE/NAME.

    Raises:
        UserError: nobody or several people are called so.
    """
    site, _, rest = who.partition("/")
    place, _, number = rest.rpartition("/")
    if place and number.isdecimal():
        row = {"site": site, "gallery": place, "device": place, "number": int(number)}
        if connection.execute(sql.PERSON, row).fetchone():
            return FleetPerson(site, place, int(number))
        found = [
            FleetPerson(site, gallery, int(number)) for (gallery,) in connection.execute(sql.PERSON_OF_DEVICE, row)
        ]
    else:
        rows = connection.execute(sql.PERSON_CALLED, {"site": site, "name": rest})
        found = [FleetPerson(site, gallery, own) for gallery, own in rows]
    if not found:
        raise UserError(f"{who}: nobody; give SITE/DEVICE/NUMBER or SITE/NAME as `edge-reid fleet search` prints them")
    if len(found) > 1 and place:
        raise UserError(f"{who}: in {len(found)} galleries of this device; give one of {', '.join(map(str, found))}")
    return min(found)


def describe(connection: Connection[Any], people: Iterable[FleetPerson]) -> list[Known]:
    """Those of the people who are still there."""
    known = []
    for person in people:
        row = connection.execute(sql.PERSON, vars(person)).fetchone()
        if row is not None:
            known.append(Known(person, *row))
    return known


def same_people(connection: Connection[Any], person: FleetPerson) -> list[FleetPerson]:
    """Everyone in the fleet who is the same human being, the person too.

    Two are the same who have the same name at the same site, or whom somebody has merged; so are two who are each the
    same as a third. Looks alone make nobody the same.
    """
    return sorted(FleetPerson(*row) for row in connection.execute(sql.SAME_PEOPLE, vars(person)))


def whereabouts(connection: Connection[Any], people: Sequence[FleetPerson], most: int) -> list[Whereabouts]:
    """Where and when any of them was, the last first."""
    seen = [
        Whereabouts(person, *row)
        for person in people
        for row in connection.execute(sql.SIGHTINGS, {**vars(person), "most": most})
    ]
    return sorted(seen, key=lambda one: -one.ended)[:most]


def looks(connection: Connection[Any], person: FleetPerson, space: int) -> Looks:
    """How a person looks to a model."""
    rows = connection.execute(sql.PROTOTYPES, {**vars(person), "space": space}).fetchall()
    stacks = {modality: [vector.to_numpy() for seen, vector in rows if seen == modality] for modality in MODALITIES}
    return {modality: np.stack(vectors) for modality, vectors in stacks.items() if vectors}


def lookalikes(
    connection: Connection[Any],
    space: tuple[int, int],
    seen: Looks,
    rule: MatchingRule | None,
    *,
    most: int,
    filters: Filters,
    exact: bool = False,
    without: Sequence[FleetPerson] = (),
) -> list[Lookalike]:
    """Who looks like this, in the same view and in the other, those first who exceed what is asked for the most.

    Args:
        connection: of an operator.
        space: number of the model in the fleet, and D.
        seen: what is searched for.
        rule: of the bundle that made it.
        most: people at most.
        filters: of which site, device and time.
        exact: compare with every prototype.
        without: people who are left out.
    """
    best: dict[FleetPerson, tuple[float, float]] = {}
    for modality, vectors in seen.items():
        for other in MODALITIES:
            asked = 0.0 if rule is None else (rule.within[modality] if other == modality else rule.across).accept
            for vector in vectors:
                amount = LOOKS * (most + len(without))
                for hit in nearest(connection, space, vector, other, most=amount, filters=filters, exact=exact):
                    best[hit.person] = max(best.get(hit.person, (-2.0, 0.0)), (hit.score - asked, hit.score))
    ranked = sorted((one for one in best if one not in without), key=lambda one: (-best[one][0], one))[:most]
    return [
        Lookalike(known, best[known.person][1], None if rule is None else best[known.person][0])
        for known in describe(connection, ranked)
    ]


def merge(connection: Connection[Any], one: FleetPerson, other: FleetPerson, *, undo: bool = False) -> None:
    """Say that two people are the same human being, or no longer.

    Raises:
        UserError: they are one person of one gallery, or are the same for another reason that `undo` does not end.
    """
    if one == other:
        raise UserError(f"{one}: cannot be merged with themselves; give two people")
    with connection.transaction():
        for here, there in ((one, other), (other, one)):
            others = {f"other_{name}": value for name, value in vars(there).items()}
            connection.execute(sql.UNLINK if undo else sql.LINK, vars(here) | others)
        if undo and other in same_people(connection, one):
            raise UserError(f"{one} and {other} stay the same: by their name, or by a third whom both are merged with")
        note(connection, one, "part" if undo else "merge", str(other), 2)


def forget(connection: Connection[Any], person: FleetPerson) -> int:
    """Leave nothing of a human being in the fleet, and have every device forget them; people of galleries that were."""
    with connection.transaction():
        row = connection.execute(sql.FORGET, vars(person)).fetchone()
        count = int(row[0]) if row else 0
        note(connection, person, "forget", str(person), count)
    return count


def note(connection: Connection[Any], person: FleetPerson | None, action: str, what: str | None, count: int) -> None:
    """A line of the audit: of the person's site, or of all."""
    row = {"site": person.site if person else "*", "action": action, "person": what, "count": count}
    connection.execute(sql.AUDIT, row)
