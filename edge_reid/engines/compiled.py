"""What `edge-reid compile` wrote for one engine, and the record beside it of what that was built from and for.

Such files run with the library that built them and often on one device only; libraries say so late, with a null pointer
or a crash. Here it is found out before, from the record, without the library.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_reid.bundle import Precision
from edge_reid.errors import UserError
from edge_reid.files import sha256
from edge_reid.types import Modality

FOLDER = "engines"
"""Of a bundle, where they lie."""

RECORD = ".json"


class EngineRecord(BaseModel):
    """What an engine was built from and for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: str
    modality: Modality
    precision: Precision
    version: str
    """Of the library that built it."""
    device: str
    """The processor or GPU that it is for, by name; empty where it runs on any."""
    options: dict[str, str | int]
    """What it was built with; an engine says what they mean."""
    source: str
    """The graph, a file of the bundle."""
    source_sha256: str
    files: dict[str, str]
    """SHA-256 of each that was built, by name."""
    bytes: int
    """Of all of them."""
    seconds: float
    """To build."""
    date: str
    command: str


Record = TypeVar("Record", bound=EngineRecord)


@dataclass(frozen=True)
class Compiled:
    """The place of an engine in a bundle, built or not."""

    source: Path
    """The graph, whose bytes are those of the manifest."""
    engine: str
    modality: Modality
    precision: Precision

    def path(self, suffix: str) -> Path:
        """Where a file of it lies; that with the suffix `RECORD` is its record."""
        return self.source.parent / FOLDER / f"{self.modality}.{self.engine}.{self.precision}{suffix}"

    def refusal(self, file: Path, why: str) -> UserError:
        """The one line about an engine that cannot be used, with the command that builds it again."""
        bundle = shlex.quote(str(self.source.parent))
        command = f"edge-reid compile {bundle} --engine {self.engine} --precision {self.precision}"
        return UserError(f"{file}: {why}; build it here with `{command}`")

    def read(self, kind: type[Record], *suffixes: str) -> Record:
        """The record of an engine that is whole and was built from this graph.

        Args:
            kind: of record.
            suffixes: of the engine's files.

        Raises:
            UserError: there is none, it is damaged, or it was built from another graph.
        """
        files = [self.path(suffix) for suffix in suffixes]
        if not files[0].is_file():
            raise self.refusal(files[0], "not built yet")
        try:
            record = kind.model_validate_json(self.path(RECORD).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            raise self.refusal(
                self.path(RECORD), f"missing or damaged, so nobody knows what {files[0].name} is"
            ) from error
        if record.source_sha256 != sha256(self.source):
            raise self.refusal(files[0], f"built from another graph than {self.source.name}")
        for file in files:
            if not file.is_file() or sha256(file) != record.files.get(file.name):
                raise self.refusal(file, "damaged, its bytes are not those that were built")
        return record
