"""From a bundle's graphs to the engines of this device, which are built where they run. Needs no torch."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from edge_reid.bundle import Bundle, Precision
from edge_reid.engines.plan import PlanRecord, plan_path, record_path
from edge_reid.errors import CheckFailed, UserError
from edge_reid.files import atomic_file, sha256
from edge_reid.types import MODALITIES, Modality

REFUSED = 2
"""Exit code of a process that says in one line what is wrong with what it was asked."""

MOST_WORKSPACE = 1024
"""MiB; small networks gain nothing from more."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What to build; None stands for what suits the device."""

    precision: Precision | None = None
    """INT8 where the bundle has it, else FP16, when None."""
    max_batch: int = 32
    best_batch: int = 4
    """What the app mostly asks for: people in view."""
    workspace_mib: int | None = None
    """A quarter of the GPU's free memory, a GiB at most, when None."""
    level: int = 3
    """Of the builder's effort, 0 to 5; TensorRT's default."""
    dla: int | None = None


class Device(BaseModel):
    """A GPU, as a process says that has asked it."""

    model_config = ConfigDict(frozen=True)

    tensorrt: str
    gpu: str
    compute_capability: tuple[int, int]
    free_mib: int


def compile_tensorrt(bundle: Bundle, wish: Wish, tell: Callable[[str], None] = lambda line: None) -> list[PlanRecord]:
    """Build the engines of both modalities, each in a process of its own.

    Args:
        bundle: with graphs for the target tensorrt.
        wish: what to build.
        tell: called with a line per engine.

    Returns:
        The records that were written beside the engines.

    Raises:
        UserError: the bundle has no such graphs, the wish cannot be met, or TensorRT or a GPU is missing.
        CheckFailed: a build was killed or ended without an engine.
    """
    if not 1 <= wish.best_batch <= wish.max_batch:
        raise UserError(f"--best-batch {wish.best_batch}: from 1 to --max-batch {wish.max_batch}")
    precision = wish.precision or _best(bundle)
    sources = {modality: bundle.file(modality, "tensorrt", precision) for modality in MODALITIES}
    device = _device()
    if precision == "int8" and device.compute_capability in ((5, 3), (6, 2)):
        raise UserError(f"--precision int8: {device.gpu} has no 8-bit arithmetic; pass --precision fp16")
    records = []
    for modality, source in sources.items():
        record = _build(source, modality, precision, wish, device)
        records.append(record)
        on_gpu = f", {len(record.on_gpu)} layers stay on the GPU" if record.dla is not None else ""
        tell(f"{plan_path(source)}: {record.bytes / 1e6:.1f} MB in {record.seconds:.0f} s{on_gpu}")
    return records


def _best(bundle: Bundle) -> Precision:
    built = {entry.precision for entry in bundle.entries("visible", "tensorrt")}
    if not built:
        raise UserError(
            f"{bundle.path}: has no graphs for TensorRT; export with --target tensorrt, and --int8 for 8 bits"
        )
    return "int8" if "int8" in built else "fp16"


def _build(source: Path, modality: Modality, precision: Precision, wish: Wish, device: Device) -> PlanRecord:
    plan = plan_path(source)
    plan.parent.mkdir(exist_ok=True)
    batches = (1, wish.best_batch, wish.max_batch) if wish.dla is None else (wish.best_batch,) * 3
    workspace = wish.workspace_mib or min(MOST_WORKSPACE, device.free_mib // 4)
    name = f"{device.gpu}-{device.tensorrt}".replace(" ", "-").replace("/", "-")
    asked = {
        "source": str(source), "out": str(plan), "timing_cache": str(plan.parent / f"{name}.timing"),
        "batches": batches, "workspace_mib": workspace, "level": wish.level, "dla": wish.dla,
    }  # fmt: skip
    began = time.monotonic()
    built = _own_process("edge_reid_export.tensorrt_build", asked)
    record = PlanRecord(
        modality=modality,
        precision=precision,
        tensorrt=device.tensorrt,
        gpu=device.gpu,
        compute_capability=".".join(map(str, device.compute_capability)),
        dla=wish.dla,
        on_gpu=built["on_gpu"],
        kernels=built["kernels"],
        batches=batches,
        source=source.name,
        source_sha256=sha256(source),
        sha256=sha256(plan),
        bytes=plan.stat().st_size,
        seconds=round(time.monotonic() - began, 1),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    )
    with atomic_file(record_path(plan)) as temporary:
        temporary.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return record


def _device() -> Device:
    """The GPU and the TensorRT of this machine, asked in a process of its own: a broken driver ends that one only."""
    return Device.model_validate(_own_process("edge_reid_export.tensorrt_device", {}))


def _own_process(module: str, asked: dict[str, Any]) -> dict[str, Any]:
    """What `python -m module` answers to a JSON document.

    Raises:
        UserError: it refused, or a library is missing.
        CheckFailed: it was killed or crashed.
    """
    done = subprocess.run(
        [sys.executable, "-m", module], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    said = (done.stderr.strip().splitlines() or ["no word of why"])[-1]
    if done.returncode == REFUSED:
        raise UserError(said)
    if missing := re.search(r"No module named '(tensorrt|pycuda)", done.stderr):
        raise UserError(
            f"{missing[1]} is not installed for {sys.executable}; on a Jetson make the environment with `python3 -m "
            "venv --system-site-packages`, elsewhere pip install 'edge-reid[tensorrt]'"
        )
    if done.returncode < 0:
        raise CheckFailed(
            f"the build was killed (signal {-done.returncode}), for want of memory most likely; close other programs, "
            "or pass a smaller --workspace or --level"
        )
    if done.returncode:
        raise CheckFailed(f"the build ended with exit code {done.returncode}: {said}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer
