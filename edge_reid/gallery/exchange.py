"""A gallery as JSON lines: to keep a copy, to move it, to encrypt one that was not. Never encrypted itself.

The first line is `{"format": "edge-reid gallery", "version": 1, "space", "dimension", "people"}`: the model's name, the
vectors' length, how many lines follow. Each of those is a person: `number`, `name` or null, `first_seen`, `last_seen`
(seconds since 1970), `prototypes`, each with `modality`, `quality`, `time`, `vector` (base64 of little-endian float32)
and `crop` (base64 of a JPEG, or null), and `sightings`, each with `camera`, `began`, `ended`.
"""

from __future__ import annotations

import base64
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import randbits
from typing import Annotated, Literal, TextIO, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_reid.errors import UserError
from edge_reid.gallery.cipher import Cipher
from edge_reid.gallery.file import damaged
from edge_reid.gallery.index import is_unit
from edge_reid.gallery.records import LATEST, stored_name
from edge_reid.types import MODALITIES, Modality

Time = Annotated[float, Field(ge=0, le=LATEST)]

LONGEST_HEADER = 10_000


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid")


Line = TypeVar("Line", bound=_Line)


class Header(_Line):
    """The first line."""

    format: Literal["edge-reid gallery"] = "edge-reid gallery"
    version: Literal[1] = 1
    space: str
    dimension: int = Field(gt=0, le=2**20)
    people: int = Field(ge=0)


class _Prototype(_Line):
    modality: Modality
    quality: float = Field(gt=0, allow_inf_nan=False)
    time: Time
    vector: str
    crop: str | None


class _Sighting(_Line):
    camera: str
    began: Time
    ended: Time


class _Person(_Line):
    number: int = Field(gt=0, lt=2**53)
    name: str | None
    first_seen: Time
    last_seen: Time
    prototypes: list[_Prototype]
    sightings: list[_Sighting]


@dataclass(frozen=True)
class Exchange:
    """Writes a gallery's people to lines and takes them from there."""

    place: str
    """What messages call the gallery."""
    cipher: Cipher
    space: str
    dimension: int

    def write(self, connection: sqlite3.Connection, path: Path) -> int:
        """Write everyone to a file that only its owner can read; returns how many there are.

        Raises:
            UserError: it cannot be written, or a value in the gallery does not open.
        """
        try:
            handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", dir=path.parent)
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror}); choose another place") from error
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                count = self._write_lines(connection, file)
            Path(name).replace(path)
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror}); choose another place") from error
        except ValueError as error:
            raise damaged(self.place, str(error)) from error
        finally:
            Path(name).unlink(missing_ok=True)
        return count

    def read(self, connection: sqlite3.Connection, path: Path, taken: set[str], most: int) -> dict[int, int]:
        """Add the people of a file, in the caller's transaction; returns their numbers here by those there.

        Args:
            connection: to the gallery; where this raises, the transaction must be undone.
            path: what `write` wrote.
            taken: names of people who are here.
            most: prototypes that a person keeps of each modality.

        Raises:
            UserError: it is no export, of another model, cut short, or someone in it has a name that is taken.
        """
        header = read_header(path)
        if (header.space, header.dimension) != (self.space, self.dimension):
            raise UserError(
                f"{path}: made with model {header.space} ({header.dimension} numbers), the gallery with {self.space} "
                f"({self.dimension}); import it into a gallery of its own model"
            )
        numbers: dict[int, int] = {}
        names = set(taken)
        for place, person in _people(path):
            try:
                numbers[person.number] = self._add(connection, person, numbers, names, most)
            except ValueError as error:
                raise UserError(f"{path}: line {place}: {error}; mend that line or export again") from error
        if len(numbers) != header.people:
            raise UserError(f"{path}: cut short, {header.people} people announced, {len(numbers)} there; export again")
        return numbers

    def _write_lines(self, connection: sqlite3.Connection, file: TextIO) -> int:
        people = connection.execute("SELECT number, name, first_seen, last_seen FROM people ORDER BY number").fetchall()
        header = Header(space=self.space, dimension=self.dimension, people=len(people))
        file.write(header.model_dump_json() + "\n")
        for number, stored, first, last in people:
            name = None if stored is None else self.cipher.unseal(stored, f"people/{number}/name").decode()
            line = _Person.model_construct(
                number=number, name=name, first_seen=first, last_seen=last,
                prototypes=list(self._prototypes(connection, number)), sightings=list(_sightings(connection, number)),
            )  # fmt: skip
            file.write(line.model_dump_json() + "\n")
        return len(people)

    def _prototypes(self, connection: sqlite3.Connection, person: int) -> Iterator[_Prototype]:
        columns = "SELECT id, modality, quality, time, vector, crop FROM prototypes WHERE person = ? ORDER BY time, id"
        for number, modality, quality, time, vector, crop in connection.execute(columns, (person,)):
            yield _Prototype.model_construct(
                modality=modality, quality=quality, time=time,
                vector=_text(self.cipher.unseal(vector, f"prototypes/{number}/vector")),
                crop=None if crop is None else _text(self.cipher.unseal(crop, f"prototypes/{number}/crop")),
            )  # fmt: skip

    def _add(
        self, connection: sqlite3.Connection, person: _Person, numbers: dict[int, int], names: set[str], most: int
    ) -> int:
        if person.number in numbers:
            raise ValueError(f"person {person.number} a second time")
        if person.last_seen < person.first_seen:
            raise ValueError("last seen before the first time")
        (following,) = connection.execute("SELECT next_person FROM gallery").fetchone()
        number: int = max(person.number, following)
        connection.execute("UPDATE gallery SET next_person = ?", (number + 1,))
        name = None
        if person.name is not None:
            plain = stored_name(person.name)
            if plain in names:
                raise ValueError(f"somebody is called {plain} already")
            names.add(plain)
            name = self.cipher.seal(plain.encode(), f"people/{number}/name")
        connection.execute(
            "INSERT INTO people VALUES (?, ?, ?, ?)", (number, name, person.first_seen, person.last_seen)
        )
        best = sorted(person.prototypes, key=lambda prototype: -prototype.quality)
        for modality in MODALITIES:
            for prototype in [prototype for prototype in best if prototype.modality == modality][:most]:
                self._insert(connection, number, prototype)
        for sighting in person.sightings:
            if sighting.ended < sighting.began:
                raise ValueError("a sighting that ended before it began")
            values = (number, sighting.camera, sighting.began, sighting.ended)
            connection.execute("INSERT OR REPLACE INTO sightings VALUES (?, ?, ?, ?)", values)
        return number

    def _insert(self, connection: sqlite3.Connection, person: int, prototype: _Prototype) -> None:
        vector = base64.b64decode(prototype.vector, validate=True)
        if len(vector) != 4 * self.dimension or not is_unit(np.frombuffer(vector, np.dtype("<f4"))):
            raise ValueError(f"a vector that is no unit vector of {self.dimension} numbers")
        crop = None if prototype.crop is None else base64.b64decode(prototype.crop, validate=True)
        number = new_prototype()
        values = (
            number, person, prototype.modality, prototype.quality, prototype.time,
            self.cipher.seal(vector, f"prototypes/{number}/vector"),
            None if crop is None else self.cipher.seal(crop, f"prototypes/{number}/crop"),
        )  # fmt: skip
        connection.execute("INSERT INTO prototypes VALUES (?, ?, ?, ?, ?, ?, ?)", values)


def read_header(path: Path) -> Header:
    """The first line of an export.

    Raises:
        UserError: this is none.
    """
    try:
        with path.open(encoding="utf-8") as file:
            return _parsed(Header, file.readline(LONGEST_HEADER), path, 1)
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def new_prototype() -> int:
    """A number that no other program gives to another prototype."""
    return randbits(62)


def _people(path: Path) -> Iterator[tuple[int, _Person]]:
    try:
        with path.open(encoding="utf-8") as file:
            file.readline()
            for place, line in enumerate(file, start=2):
                yield place, _parsed(_Person, line, path, place)
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def _parsed(kind: type[Line], text: str, path: Path, place: int) -> Line:
    try:
        return kind.model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{path}: line {place}: {where + ': ' if where else ''}{first['msg']}; name a file that `edge-reid gallery "
            "export` wrote"
        ) from error


def _unreadable(path: Path, error: OSError | UnicodeDecodeError) -> UserError:
    reason = error.strerror if isinstance(error, OSError) else "not text"
    return UserError(f"{path}: cannot be read ({reason}); name a file that `edge-reid gallery export` wrote")


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _sightings(connection: sqlite3.Connection, person: int) -> Iterator[_Sighting]:
    columns = "SELECT camera, began, ended FROM sightings WHERE person = ? ORDER BY began"
    for camera, began, ended in connection.execute(columns, (person,)):
        yield _Sighting.model_construct(camera=camera, began=began, ended=ended)
