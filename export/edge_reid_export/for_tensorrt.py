"""TensorRT engines: built by the TensorRT and for the GPU of this machine, each in a process of its own."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from pydantic import BaseModel, ConfigDict

from edge_reid.engines.compiled import Compiled
from edge_reid.engines.plan import PLAN, PlanRecord
from edge_reid.errors import CheckFailed, UserError
from edge_reid.machine import LEAST_TENSORRT, version_of
from edge_reid_export.compile import Built, Wish
from edge_reid_export.process import answer_of

MOST_WORKSPACE = 1024
"""MiB; small networks gain nothing from more."""

_NEWER = "install 10.3 or newer (JetPack 6.1), or take --engine ort"

NO_INT8 = ((5, 3), (6, 2))
"""Compute capabilities of Jetson Nano and TX2."""


class Device(BaseModel):
    """A GPU, as a process says that has asked it."""

    model_config = ConfigDict(frozen=True)

    tensorrt: str
    gpu: str
    compute_capability: tuple[int, int]
    free_mib: int


def build(job: Compiled, wish: Wish) -> Built:
    """Write the engine.

    Raises:
        UserError: the wish cannot be met, or TensorRT or a GPU is missing.
        CheckFailed: the build was killed or ended without an engine.
    """
    most = 32 if wish.max_batch is None else wish.max_batch
    best = min(4, most) if wish.best_batch is None else wish.best_batch
    if not 1 <= best <= most:
        raise UserError(f"--best-batch {best}: from 1 to --max-batch {most}")
    if wish.workspace is not None and wish.workspace < 1:
        raise UserError(f"--workspace {wish.workspace}: MiB, 1 or more")
    device = Device.model_validate(_own_process("edge_reid_export.tensorrt_device", {}))
    if version_of(device.tensorrt) < LEAST_TENSORRT:
        raise UserError(
            f"TensorRT {device.tensorrt} is too old, it has no strongly typed networks with 8 bits; {_NEWER}"
        )
    if job.precision == "int8" and device.compute_capability in NO_INT8:
        raise UserError(f"--precision int8: {device.gpu} has no 8-bit arithmetic; pass --precision fp16")
    plan = job.path(PLAN)
    batches = (1, best, most) if wish.dla is None else (best,) * 3
    name = re.sub(r"[^\w.]+", "-", f"{device.gpu}-{device.tensorrt}")
    asked = {
        "source": str(job.source), "out": str(plan), "timing_cache": str(plan.parent / f"{name}.timing"),
        "batches": batches, "workspace_mib": wish.workspace or min(MOST_WORKSPACE, device.free_mib // 4),
        "level": 3 if wish.level is None else wish.level, "dla": wish.dla,
    }  # fmt: skip
    told = _own_process("edge_reid_export.tensorrt_build", asked)
    more = {
        "compute_capability": ".".join(map(str, device.compute_capability)), "dla": wish.dla,
        "on_gpu": told["on_gpu"], "kernels": told["kernels"], "batches": list(batches),
    }  # fmt: skip
    return Built([plan], device.tensorrt, device.gpu, more=more, record=PlanRecord)


def _own_process(module: str, asked: dict[str, Any]) -> dict[str, Any]:
    """What `python -m module` answers to a JSON document.

    Raises:
        UserError: it refused, or a library is missing.
        CheckFailed: it was killed or crashed.
    """
    try:
        answer = answer_of([sys.executable, "-m", module], text=json.dumps(asked))
    except CheckFailed as error:
        if missing := re.search(r"No module named '(tensorrt|pycuda)", str(error)):
            raise UserError(
                f"{missing[1]} is not installed for {sys.executable}; on a Jetson make the environment with `python3 "
                "-m venv --system-site-packages`, elsewhere pip install 'edge-reid[tensorrt]'"
            ) from error
        raise
    told: dict[str, Any] = json.loads(answer.strip().splitlines()[-1])
    return told
