"""What is known of a TensorRT engine without TensorRT: its header, its record, and why it would not run here.

For what happens when TensorRT answers with a null pointer, there are stand-ins for it and for pycuda.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from edge_reid.bundle import Bundle
from edge_reid.engines.compiled import RECORD, Compiled
from edge_reid.engines.plan import PLAN, PlanRecord, usable, written_by
from edge_reid.errors import UserError
from edge_reid.files import sha256
from edge_reid.reference import bundle_path

HERE = {"tensorrt": "10.3.0", "gpu": "Orin"}


def plan_bytes(version: tuple[int, int, int, int] = (10, 3, 0, 30)) -> bytes:
    """As TensorRT begins its plans: tag, 0, sixteen bytes of its own, version."""
    return struct.pack("<II16s4B", 0x74727466, 0, b"", *version) + b"kernels"


@pytest.fixture
def compiled(tmp_path: Path) -> Compiled:
    """A graph whose engine was built here."""
    graph = tmp_path / "visible.tensorrt.int8.onnx"
    graph.write_bytes(b"graph")
    place = Compiled(graph, "tensorrt", "visible", "int8")
    write(place)
    return place


def write(compiled: Compiled, content: bytes = plan_bytes(), **changes: Any) -> None:
    plan = compiled.path(PLAN)
    plan.parent.mkdir(exist_ok=True)
    plan.write_bytes(content)
    record = PlanRecord(
        engine="tensorrt", modality="visible", precision="int8", version="10.3.0", device="Orin", options={},
        compute_capability="8.7", dla=None, on_gpu=[], kernels={"Int8": 3}, batches=(1, 4, 32),
        source=compiled.source.name, source_sha256=sha256(compiled.source), files={plan.name: sha256(plan)},
        bytes=len(content), seconds=1.0, date="2026-11-21", command="edge-reid compile",
    )  # fmt: skip
    compiled.path(RECORD).write_text(record.model_copy(update=changes).model_dump_json())


def test_an_engine_that_was_built_here_is_used(compiled: Compiled) -> None:
    record, plan = usable(compiled, **HERE), compiled.path(PLAN)
    assert plan == compiled.source.parent / "engines" / "visible.tensorrt.int8.engine"
    assert written_by(plan) == (10, 3, 0, 30)
    assert record.batches == (1, 4, 32)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(plan_bytes((11, 4, 0, 106)), (11, 4, 0, 106)), (b'{"version": 12}' + bytes(40), None), (b"short", None)],
    ids=["plan", "another header", "cut off"],
)
def test_the_first_bytes_tell_who_wrote_a_plan(
    tmp_path: Path, content: bytes, expected: tuple[int, int, int, int] | None
) -> None:
    (tmp_path / "x.engine").write_bytes(content)
    assert written_by(tmp_path / "x.engine") == expected


def test_every_reason_not_to_run_is_one_line_with_the_command(compiled: Compiled) -> None:
    again = r"build it here with `edge-reid compile .* --engine tensorrt --precision int8`$"

    def refused(reason: str, **machine: str) -> None:
        with pytest.raises(UserError, match=f"{reason}; {again}") as stopped:
            usable(compiled, **{**HERE, **machine})
        assert "\n" not in str(stopped.value)

    refused(r"built by TensorRT 10\.3\.0\.30, and 10\.13\.2 is installed here", tensorrt="10.13.2")
    refused("built on Orin, and this is Thor", gpu="Thor")
    write(compiled, plan_bytes((10, 16, 1, 11)))
    refused(r"built by TensorRT 10\.16\.1\.11, and 10\.3\.0 is installed here")
    write(compiled, source_sha256="0" * 64)
    refused("built from another graph than visible.tensorrt.int8.onnx")
    write(compiled)
    compiled.path(PLAN).write_bytes(plan_bytes()[:-1])
    refused("damaged, its bytes are not those that were built")
    compiled.path(RECORD).write_text("{")
    refused("missing or damaged, so nobody knows what visible.tensorrt.int8.engine is")
    compiled.path(PLAN).unlink()
    refused("not built yet")


class Logger:
    """As `tensorrt.ILogger`: it is called with a severity and a message."""

    Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2)

    def log(self, severity: int, msg: str) -> None:
        raise NotImplementedError


class Runtime:
    """Loads no plan, and says why in its log, as TensorRT does."""

    def __init__(self, logger: Logger) -> None:
        self.logger = logger

    def deserialize_cuda_engine(self, plan: bytes) -> None:
        self.logger.log(2, "a warning that explains nothing")
        self.logger.log(1, "Current file is incompatible:\n out of device memory")


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Modules in the place of TensorRT's and pycuda's; what was given back is listed."""
    given_back: list[str] = []
    memory = SimpleNamespace(nbytes=1, base=SimpleNamespace(free=lambda: given_back.append("host")))
    on_device = SimpleNamespace(free=lambda: given_back.append("device"))
    context = SimpleNamespace(push=lambda: None, detach=lambda: given_back.append("context"))
    device = SimpleNamespace(name=lambda: "Orin", retain_primary_context=lambda: context)
    trt, driver = ModuleType("tensorrt"), ModuleType("pycuda.driver")
    trt.__dict__.update(__version__="10.3.0", ILogger=Logger, Runtime=Runtime)
    driver.__dict__.update(
        Error=RuntimeError, init=lambda: None, Device=lambda number: device, Context=SimpleNamespace(pop=lambda: None),
        pagelocked_empty=lambda shape, kind: memory, mem_alloc=lambda size: on_device, Stream=object,
    )  # fmt: skip
    package = ModuleType("pycuda")
    package.__dict__["driver"] = driver
    for name, module in (("tensorrt", trt), ("pycuda", package), ("pycuda.driver", driver)):
        monkeypatch.setitem(sys.modules, name, module)
    ours = [f"edge_reid.engines.{name}" for name in ("tensorrt_engine", "tensorrt_log", "cuda")]
    for name in ours:
        sys.modules.pop(name, None)
    yield given_back
    for name in ours:
        sys.modules.pop(name, None)


def test_a_plan_that_tensorrt_does_not_load_is_told_with_tensorrts_own_reason(
    compiled: Compiled, stand_ins: list[str]
) -> None:
    from edge_reid.engines.tensorrt_engine import open_engine

    manifest = Bundle.open(bundle_path()).manifest
    with pytest.raises(UserError) as stopped:
        open_engine(manifest, compiled.source, "visible", "int8", "cuda")
    said = str(stopped.value)
    assert "TensorRT 10.3.0 does not load it: Current file is incompatible: out of device memory; build it" in said
    assert "\n" not in said
    assert sorted(stand_ins) == ["context", "device", "device", "host", "host"]
