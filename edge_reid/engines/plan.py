"""A TensorRT engine on disk: the plan, and beside it a record of what it was built from and for.

A plan runs on the TensorRT that built it and on the GPU that it was tuned on, and nowhere else; TensorRT itself says so
with a null pointer. Here it is found out before, from the plan's first bytes and the record, without TensorRT.
"""

from __future__ import annotations

import struct
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_reid.bundle import Precision
from edge_reid.errors import UserError
from edge_reid.files import sha256
from edge_reid.types import Modality

_TAG = 0x74727466
"""The first four bytes, "ftrt"."""

HEADER = 28
"""Bytes; the last four are the version of the TensorRT that wrote the plan (8.6 and later)."""


class PlanRecord(BaseModel):
    """What a plan was built from and for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    modality: Modality
    precision: Precision
    tensorrt: str
    """Version."""
    gpu: str
    compute_capability: str
    """8.7, say."""
    dla: int | None
    """Core, None for the GPU."""
    on_gpu: list[str]
    """Layers that the DLA could not take."""
    kernels: dict[str, int]
    """Layers of the engine by the type of what they make; "Reformat" are those that only convert."""
    batches: tuple[int, int, int]
    """Least, best and most crops of a call."""
    source: str
    """The graph, a file of the bundle."""
    source_sha256: str
    sha256: str
    bytes: int
    seconds: float
    """To build."""
    date: str
    command: str


def plan_path(source: Path) -> Path:
    """Where the engine of a bundle's graph lies."""
    return source.parent / "engines" / source.with_suffix(".engine").name


def record_path(plan: Path) -> Path:
    """Where a plan's record lies."""
    return plan.with_suffix(".json")


def written_by(plan: Path) -> tuple[int, int, int, int] | None:
    """The version of the TensorRT that wrote a plan, None where its header is another one."""
    with plan.open("rb") as file:
        header = file.read(HEADER)
    if len(header) < HEADER or struct.unpack_from("<II", header) != (_TAG, 0):
        return None
    major, minor, patch, build = header[24:28]
    return major, minor, patch, build


def usable(source: Path, *, tensorrt: str, gpu: str) -> tuple[Path, PlanRecord]:
    """The plan of a bundle's graph, if this TensorRT and this GPU can run it.

    Args:
        source: the graph, whose bytes are those of the manifest.
        tensorrt: the version that is installed.
        gpu: this machine's, by name.

    Raises:
        UserError: there is none, it is damaged, or it was built from another graph, by another TensorRT or for another
            GPU; the message has the command that builds it again.
    """
    plan = plan_path(source)
    again = f"build it here with `edge-reid compile {source.parent} --engine tensorrt`"
    if not plan.is_file():
        raise UserError(f"{plan}: not built yet; {again}")
    try:
        record = PlanRecord.model_validate_json(record_path(plan).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise UserError(
            f"{record_path(plan)}: missing or damaged, so nobody knows what the plan is; {again}"
        ) from error
    if record.source_sha256 != sha256(source):
        raise UserError(f"{plan}: built from another graph than {source.name}; {again}")
    if plan.stat().st_size != record.bytes or sha256(plan) != record.sha256:
        raise UserError(f"{plan}: damaged, its bytes are not those that were built; {again}")
    version = written_by(plan)
    wrote = ".".join(map(str, version)) if version else record.tensorrt
    if wrote.split(".")[:3] != tensorrt.split(".")[:3]:
        raise UserError(f"{plan}: built by TensorRT {wrote}, and {tensorrt} is installed here; {again}")
    if record.gpu != gpu:
        raise UserError(f"{plan}: built on {record.gpu}, and this is {gpu}; {again}")
    return plan, record
