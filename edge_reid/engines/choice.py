"""Which backend and precision `edge-reid benchmark` found fastest for a bundle on this machine, kept in the bundle.

`engines/choice.json` counts on the machine, for the bundle, with the library versions and threads that it was measured
with; otherwise it is as if there were none. Nothing heavy is imported here.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_reid.bundle import MANIFEST, Bundle, Precision
from edge_reid.engines.base import thread_count
from edge_reid.files import atomic_file, sha256
from edge_reid.types import Modality

CHOICE_VERSION = 1


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Here(_Model):
    """What a measurement holds for."""

    processor: str
    board: str
    """By its device tree, "" where it has none."""
    threads: int
    versions: dict[str, str | None]
    """Of the libraries that were compared; None where one is not installed any more."""
    manifest_sha256: str
    """Of the bundle."""


class Chosen(_Model):
    """What computes one modality."""

    backend: str
    precision: Precision
    p50_ms: float
    """Of one crop."""


class Choice(_Model):
    """What to use, and where that holds."""

    choice_version: int = CHOICE_VERSION
    here: Here
    engines: dict[Modality, Chosen]
    date: str
    command: str


class Selection(NamedTuple):
    """What `load_engine` opens when nothing is asked for."""

    backend: str | None
    """None: its own default."""
    precision: Precision | None
    reason: str


def here(bundle: Bundle, libraries: list[str]) -> Here:
    """This machine and this bundle."""
    from edge_reid.machine import board, installed_version, processor

    return Here(
        processor=processor()[0],
        board=board(),
        threads=thread_count(),
        versions={name: installed_version(name) for name in libraries},
        manifest_sha256=sha256(bundle.path / MANIFEST),
    )


def choice_path(bundle: Bundle) -> Path:
    """Where a bundle's choice lies."""
    return bundle.path / "engines" / "choice.json"


def write_choice(bundle: Bundle, choice: Choice) -> Path:
    """Keep a choice in the bundle; it replaces an older one.

    Raises:
        OSError: the bundle cannot be written to.
    """
    path = choice_path(bundle)
    with atomic_file(path) as temporary:
        temporary.write_text(choice.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return path


def selection(bundle: Bundle, modality: Modality) -> Selection:
    """What to open for a modality: the choice where it fits this machine and bundle, else the default."""
    path = choice_path(bundle)
    again = "`edge-reid benchmark` measures what is fastest here"
    precision: Precision | None = "fp32" if overflows(bundle) else None
    default = f"the default{', FP32, for ' + OVERFLOW if precision else ''}"
    if not path.is_file():
        return Selection(None, precision, f"{default}; {again}")
    try:
        choice = Choice.model_validate_json(path.read_text(encoding="utf-8"))
        chosen = choice.engines[modality]
    except (OSError, UnicodeDecodeError, ValidationError, KeyError):
        return Selection(None, precision, f"{default}, because {path.name} cannot be read; {again}")
    if difference := _difference(choice.here, here(bundle, list(choice.here.versions))):
        return Selection(None, precision, f"{default}, because {path.name} was made {difference}; {again}")
    said = f"{path.name}, measured here at {chosen.p50_ms:.2f} ms a crop"
    return Selection(chosen.backend, chosen.precision, said)


OVERFLOW = "this processor has no VNNI, so sums of the bundle's INT8 would overflow (edge-reid export --target x86)"


def overflows(bundle: Bundle) -> bool:
    """Whether the bundle's INT8 was made for VNNI and this processor has none.

    Only Linux tells, and only of x86 is it a question.
    """
    from edge_reid.machine import VNNI, processor

    made_for = {one.target for one in bundle.manifest.accuracy if one.precision == "int8"}
    if "x86-vnni" not in made_for or "x86" in made_for or not sys.platform.startswith("linux"):
        return False
    return platform.machine() == "x86_64" and not set(processor()[1]) & set(VNNI)


def _difference(then: Here, now: Here) -> str | None:
    """Why a choice does not hold here, None if it does."""
    if then.manifest_sha256 != now.manifest_sha256:
        return "for another bundle"
    if (then.processor, then.board) != (now.processor, now.board):
        return f"on {then.processor}{f', {then.board}' if then.board else ''}"
    if then.threads != now.threads:
        return f"with {then.threads} threads"
    changed = [f"{name} {version}" for name, version in then.versions.items() if version != now.versions[name]]
    return f"with {', '.join(changed)}" if changed else None
