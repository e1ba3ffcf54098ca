"""What a gallery tells of itself: people, where they were, who looked, and for how long all of it is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_reid.errors import UserError
from edge_reid.gallery.base import Prototype
from edge_reid.gallery.index import is_unit
from edge_reid.types import MODALITIES, Modality

DAY = 86400.0

LONGEST_NAME = 100

LATEST = 253402300799.0
"""The last second of the year 9999, since 1970: a time beyond is none."""


@dataclass(frozen=True, kw_only=True)
class Keep:
    """For how long, in seconds; a gallery holds what it was last opened with."""

    anonymous: float = DAY
    """People without a name, since they were last seen."""
    named: float | None = 30 * DAY
    """People with one, since they were last seen; None: until somebody forgets them."""
    history: float = 30 * DAY
    """Where and when people were."""
    audit: float = 365 * DAY
    """Who looked and who deleted."""
    prototypes: int = 8
    """Not a time: how many of a person and modality; the worst by quality goes."""

    def __post_init__(self) -> None:
        """Refuse what would keep nothing."""
        for name, value in vars(self).items():
            if value is not None and not 0 < value <= LATEST:
                raise UserError(f"keep.{name} = {value}: must be above 0 and no more than {LATEST:.0f}")

    def expires(self, name: str | None, last_seen: float) -> float | None:
        """When someone last seen then is forgotten, in seconds since 1970; None for never."""
        kept = self.anonymous if name is None else self.named
        return None if kept is None else last_seen + kept


@dataclass(frozen=True)
class Person:
    """Someone in the gallery. Times are seconds since 1970, UTC."""

    number: int
    name: str | None
    first_seen: float
    last_seen: float
    expires: float | None
    """None: never."""
    prototypes: dict[Modality, int]
    """How many of each modality; a modality without any is left out."""

    @property
    def called(self) -> str:
        """Number and name."""
        return str(self.number) if self.name is None else f"{self.number} ({self.name})"


@dataclass(frozen=True)
class PastSighting:
    """A camera saw a person from `began` to `ended`, seconds since 1970."""

    person: int
    camera: str
    began: float
    ended: float


@dataclass(frozen=True)
class Access:
    """Someone read or changed something. `count`: of people, prototypes or lines, whatever the action is about."""

    time: float
    actor: str
    action: str
    person: int | None
    count: int


@dataclass(frozen=True)
class Stats:
    """How much there is."""

    people: int
    named: int
    prototypes: dict[Modality, int]
    crops: int
    sightings: int
    accesses: int
    space: str
    dimension: int
    encrypted: bool
    keep: Keep
    bytes: int
    """On disk, with the log of what was written last; 0 in memory."""
    unwritten: int
    """Statements that wait for the disk."""
    dropped: int
    """Statements that never reached it, since the gallery was opened."""


def checked_name(name: str) -> str:
    """A person's new name without blanks around it.

    Raises:
        UserError: it is empty, too long, a number, or holds what cannot be printed on a line.
    """
    name = stored_name(name)
    if name.isdecimal():
        raise UserError(f"name {name!r}: would be taken for a person's number; add a letter to it")
    return name


def stored_name(name: str) -> str:
    """A name that may be in a gallery: older ones have let numbers be names.

    Raises:
        UserError: it is empty, too long, or holds what cannot be printed on a line.
    """
    name = name.strip()
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise UserError(f"name {name!r}: needs 1 to {LONGEST_NAME} printable characters on one line")
    return name


def check_prototype(prototype: Prototype, dimension: int) -> None:
    """Let no value into a gallery that it would refuse to read again.

    Raises:
        ValueError: no unit vector of this length, no quality above 0, no time, no modality.
    """
    vector = prototype.vector
    if vector.dtype != np.float32 or vector.shape != (dimension,) or not is_unit(vector):
        raise ValueError(f"a vector {vector.dtype} {vector.shape}: needs a float32 unit vector of {dimension} numbers")
    if not (0 < prototype.quality < math.inf and 0 <= prototype.time <= LATEST and prototype.modality in MODALITIES):
        raise ValueError(f"quality {prototype.quality}, time {prototype.time} or modality {prototype.modality!r}: none")
