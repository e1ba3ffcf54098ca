"""What the fleet knows of people: whose number it is, what counts as one, and where they were."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge_reid.errors import UserError
from edge_reid.types import Modality

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
"""Of a site or a device."""

SCHEMES = ("postgresql://", "postgres://")


def is_address(text: str) -> bool:
    """Whether this names a fleet's database rather than a file."""
    return text.startswith(SCHEMES)


@dataclass(frozen=True, order=True)
class FleetPerson:
    """A person of one gallery of one site. Numbers are the gallery's own."""

    site: str
    gallery: str
    """12 hexadecimal digits, see `edge_reid.gallery.sqlite.SqliteGallery.uid`."""
    number: int

    def __str__(self) -> str:
        """As commands take it."""
        return f"{self.site}/{self.gallery}/{self.number}"


@dataclass(frozen=True)
class Whereabouts:
    """A camera saw somebody; times are seconds since 1970."""

    person: FleetPerson
    device: str
    camera: str
    began: float
    ended: float


@dataclass(frozen=True)
class Filters:
    """What of the fleet is searched; None: all of it."""

    site: str | None = None
    device: str | None = None
    since: float | None = None
    """Seconds since 1970: prototypes taken then or later."""
    until: float | None = None


@dataclass(frozen=True)
class Hit:
    """A prototype that a search found."""

    person: FleetPerson
    device: str
    modality: Modality
    score: float
    """Cosine."""


def checked(what: str, name: str) -> str:
    """The name of a site or a device.

    Raises:
        UserError: it is none.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"{what} {name!r}: needs 1 to 63 of a-z, 0-9, '.', '_', '-', beginning with a letter or digit")
    return name
