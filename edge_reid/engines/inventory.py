"""Which engines a bundle has on this machine, which of them run, and whether they compute what its FP32 graph does."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from edge_reid.bundle import Bundle, Precision
from edge_reid.engines import BACKENDS, Engine, load_engine, source_of
from edge_reid.engines.agreement import LEAST_COSINE, least_cosine
from edge_reid.engines.choice import OVERFLOW, overflows
from edge_reid.engines.compiled import FOLDER, RECORD, Compiled
from edge_reid.errors import UserError, one_line
from edge_reid.types import MODALITIES, Modality

State = Literal["ok", "absent", "problem"]
"""Absent: not there and only needed for some work. Problem: it does not run like this."""


@dataclass(frozen=True)
class Finding:
    """What is known of a bundle's engine in one precision, for both modalities."""

    engine: str
    precision: Precision
    state: State
    detail: str
    remedy: str = ""


def inventory(bundle: Bundle) -> list[Finding]:
    """Open every engine that the bundle holds or has compiled, with the checks of `load_engine`, and compare it.

    PyTorch is left out: it is the workbench's.
    """
    references: dict[Modality, Engine] = {}
    try:
        references = {modality: load_engine(bundle, modality, "onnxruntime", "fp32") for modality in MODALITIES}
        return [_finding(bundle, name, precision, references) for name, precision in _engines(bundle)]
    except UserError as error:
        return [Finding("onnxruntime", "fp32", "problem", *_two_parts(error))]
    finally:
        for engine in references.values():
            engine.close()


def _engines(bundle: Bundle) -> list[tuple[str, Precision]]:
    """Backends and precisions: of the bundle's own files, and of what was compiled."""
    held: set[tuple[str, Precision]] = {
        (backend, file.precision)
        for file in bundle.manifest.files
        for backend, facts in BACKENDS.items()
        if facts.reads == file.backend and backend != "torch"
    }
    precisions: tuple[Precision, ...] = get_args(Precision)
    built = {(name, one) for name in (*BACKENDS, "ort") for one in precisions if _records(bundle, name, one)}
    return sorted(held | built)


def _finding(bundle: Bundle, name: str, precision: Precision, references: dict[Modality, Engine]) -> Finding:
    if name != "ort" and importlib.util.find_spec(name) is None:
        return Finding(name, precision, "absent", "not installed here", BACKENDS[name].installation)
    cosine = 1.0
    try:
        for modality, reference in references.items():
            engine = opened(bundle, modality, name, precision)
            cosine = min(cosine, least_cosine(engine, reference, bundle.manifest.input_size))
            engine.close()
    except UserError as error:
        # Only TensorRT's graphs are of no use until they are compiled.
        state: State = "absent" if name == "tensorrt" and not _records(bundle, name, precision) else "problem"
        return Finding(name, precision, state, *_two_parts(error))
    except Exception as error:  # whatever a runtime raises, the other engines are still to be looked at
        return Finding(name, precision, "problem", f"fails: {one_line(error)}", "use another engine, and report this")
    blob = ", opens without compiling" if name == "openvino" and _records(bundle, name, precision) else ""
    detail = f"embeds both modalities, cosine to FP32 at least {cosine:.4f}{blob}"
    if precision == "int8" and BACKENDS.get(name, BACKENDS["onnxruntime"]).reads == "onnxruntime" and overflows(bundle):
        return Finding(name, precision, "problem", OVERFLOW, "take FP32, or export for this processor")
    if cosine >= LEAST_COSINE[precision]:
        return Finding(name, precision, "ok", detail)
    detail = f"cosine to FP32 {cosine:.4f} instead of {LEAST_COSINE[precision]} or more: it computes something else"
    return Finding(name, precision, "problem", detail, "use another engine, and report this with the bundle")


def opened(bundle: Bundle, modality: Modality, name: str, precision: Precision) -> Engine:
    """An engine as `load_engine` opens it; an .ort file, too, and an OpenVINO blob that does not fit is an error.

    Raises:
        UserError: it is missing, foreign, stale or damaged.
    """
    if name == "ort":
        from edge_reid.engines.ort_engine import open_engine

        return open_engine(bundle.manifest, bundle.file(modality, "onnxruntime", precision), modality, precision, "cpu")
    compiled = Compiled(source_of(bundle, modality, name, precision), name, modality, precision)
    if name == "openvino" and compiled.path(RECORD).exists():
        from edge_reid.engines.openvino_engine import usable

        usable(compiled)
    return load_engine(bundle, modality, name, precision)


def _records(bundle: Bundle, name: str, precision: Precision) -> list[Path]:
    return list((bundle.path / FOLDER).glob(f"*.{name}.{precision}{RECORD}"))


def _two_parts(error: UserError) -> tuple[str, str]:
    """What is wrong, and its remedy."""
    what, _, remedy = one_line(error).rpartition("; ")
    return (what, remedy) if what else (remedy, "make the bundle again with `edge-reid export`")
