"""From a bundle's graphs to the engines of a device. Needs no torch."""

from __future__ import annotations

import importlib
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal, NamedTuple

from edge_reid.bundle import Bundle, Precision
from edge_reid.engines import best_precision, load_engine, source_of
from edge_reid.engines.agreement import LEAST_COSINE, least_cosine
from edge_reid.engines.compiled import RECORD, Compiled, EngineRecord
from edge_reid.engines.inventory import opened
from edge_reid.errors import CheckFailed, UserError
from edge_reid.files import atomic_file, sha256
from edge_reid.types import MODALITIES, Json

EngineName = Literal["tensorrt", "openvino", "ncnn", "ort"]


class Kind(NamedTuple):
    """What there is to build."""

    builder: str
    """Module of this package with a function `build(compiled, wish)`, which writes the files and tells of them."""
    source: str
    """The backend whose graphs it is built from, see `edge_reid.engines.source_of`."""
    precisions: tuple[Precision, ...]


KINDS: dict[EngineName, Kind] = {
    "tensorrt": Kind("for_tensorrt", "tensorrt", ("fp16", "int8")),
    "openvino": Kind("for_openvino", "openvino", ("fp32", "int8")),
    "ncnn": Kind("for_ncnn", "ncnn", ("fp32", "fp16")),
    "ort": Kind("for_ort", "onnxruntime", ("fp32", "int8")),
}


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What to build; None stands for what suits the device. All but the precision is TensorRT's alone."""

    precision: Precision | None = None
    """The fewest bits that the bundle has for the engine, when None; for ncnn FP32."""
    max_batch: int | None = None
    """32 when None."""
    best_batch: int | None = None
    """What the app mostly asks for: people in view; 4, or all of `max_batch` where that is less, when None."""
    workspace: int | None = None
    """MiB; a quarter of the GPU's free memory, a GiB at most, when None."""
    level: int | None = None
    """Of the builder's effort, 0 to 5; 3 when None, TensorRT's default."""
    dla: int | None = None


class Built(NamedTuple):
    """What a builder says of one engine."""

    files: list[Path]
    version: str
    """Of the library that built it."""
    device: str = ""
    """See `EngineRecord`."""
    options: dict[str, str | int] = {}  # noqa: RUF012 (nobody writes to it)
    more: dict[str, Json] = {}  # noqa: RUF012
    """What `record` has besides an `EngineRecord`."""
    record: type[EngineRecord] = EngineRecord


def compile_bundle(
    bundle: Bundle, engine: EngineName, wish: Wish, tell: Callable[[str], None] = lambda line: None
) -> list[EngineRecord]:
    """Build the engines of both modalities, and compare them with the bundle's FP32 graphs.

    Args:
        bundle: with graphs for the engine.
        engine: what will run them.
        wish: what to build.
        tell: called with a line per engine.

    Returns:
        The records that were written beside the engines.

    Raises:
        UserError: the bundle has no such graphs, the wish cannot be met, or a library or a device is missing.
        CheckFailed: a build was killed or ended without an engine, or an engine computes something else.
    """
    kind = KINDS[engine]
    _refuse_what_is_not_its_own(engine, kind, wish)
    precision = wish.precision or best_precision(bundle, "visible", kind.source)
    jobs = [Compiled(source_of(bundle, m, kind.source, precision), engine, m, precision) for m in MODALITIES]
    builder = importlib.import_module(f"edge_reid_export.{kind.builder}")
    records = []
    for job in jobs:
        began = time.monotonic()
        record = _recorded(job, builder.build(job, wish), began)
        cosine = _checked(bundle, job)
        tell(f"{', '.join(record.files)}: {record.bytes / 1e6:.1f} MB in {record.seconds:.0f} s, cosine {cosine:.4f}")
        records.append(record)
    return records


def _refuse_what_is_not_its_own(engine: EngineName, kind: Kind, wish: Wish) -> None:
    others = ("max_batch", "best_batch", "workspace", "level", "dla")
    given = [name for name in others if getattr(wish, name) is not None]
    if engine != "tensorrt" and given:
        raise UserError(f"--{given[0].replace('_', '-')}: only TensorRT has it; leave it out with --engine {engine}")
    if wish.precision is not None and wish.precision not in kind.precisions:
        raise UserError(f"--precision {wish.precision}: --engine {engine} takes {' or '.join(kind.precisions)}")


def _recorded(job: Compiled, built: Built, began: float) -> EngineRecord:
    record = built.record.model_validate(
        {
            "engine": job.engine,
            "modality": job.modality,
            "precision": job.precision,
            "version": built.version,
            "device": built.device,
            "options": built.options,
            "source": job.source.name,
            "source_sha256": sha256(job.source),
            "files": {file.name: sha256(file) for file in built.files},
            "bytes": sum(file.stat().st_size for file in built.files),
            "seconds": round(time.monotonic() - began, 1),
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            **built.more,
        }
    )
    with atomic_file(job.path(RECORD)) as temporary:
        temporary.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return record


def _checked(bundle: Bundle, job: Compiled) -> float:
    """The least cosine between an engine's embeddings and those of the FP32 graph; one that is too low is removed."""
    reference = load_engine(bundle, job.modality, "onnxruntime", "fp32")
    engine = opened(bundle, job.modality, job.engine, job.precision)
    cosine = least_cosine(engine, reference, bundle.manifest.input_size)
    for each in (engine, reference):
        each.close()
    if not cosine >= LEAST_COSINE[job.precision]:
        job.path(RECORD).unlink()
        raise CheckFailed(
            f"{job.path('')}: its embeddings are off the FP32 graph's, cosine {cosine:.4f} (at least "
            f"{LEAST_COSINE[job.precision]}), so it is not used; report this with the bundle, or take another engine"
        )
    return cosine
