"""A TensorRT engine on disk, a plan: it runs on the TensorRT that built it and on the GPU that it was tuned on."""

from __future__ import annotations

import struct
from pathlib import Path

from edge_reid.engines.compiled import Compiled, EngineRecord

PLAN = ".engine"

_TAG = 0x74727466
"""The first four bytes, "ftrt"."""

HEADER = 28
"""Bytes; the last four are the version of the TensorRT that wrote the plan (8.6 and later)."""


class PlanRecord(EngineRecord):
    """What a plan was built from and for."""

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


def written_by(plan: Path) -> tuple[int, int, int, int] | None:
    """The version of the TensorRT that wrote a plan, None where its header is another one."""
    with plan.open("rb") as file:
        header = file.read(HEADER)
    if len(header) < HEADER or struct.unpack_from("<II", header) != (_TAG, 0):
        return None
    major, minor, patch, build = header[24:28]
    return major, minor, patch, build


def usable(compiled: Compiled, *, tensorrt: str, gpu: str) -> PlanRecord:
    """The record of a plan that this TensorRT and this GPU can run.

    Args:
        compiled: where it lies.
        tensorrt: the version that is installed.
        gpu: this machine's, by name.

    Raises:
        UserError: there is none, it is damaged, or it was built from another graph, by another TensorRT or for another
            GPU; the message has the command that builds it again.
    """
    record, plan = compiled.read(PlanRecord, PLAN), compiled.path(PLAN)
    version = written_by(plan)
    wrote = ".".join(map(str, version)) if version else record.version
    if wrote.split(".")[:3] != tensorrt.split(".")[:3]:
        raise compiled.refusal(plan, f"built by TensorRT {wrote}, and {tensorrt} is installed here")
    if record.device != gpu:
        raise compiled.refusal(plan, f"built on {record.device}, and this is {gpu}")
    return record
