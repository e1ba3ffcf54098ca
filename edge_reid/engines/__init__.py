"""Engines: a bundle's network on a runtime. A runtime is imported when it is chosen, never before."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import NamedTuple

from edge_reid.bundle import Bundle, Precision
from edge_reid.engines.base import Engine, EngineFacts
from edge_reid.engines.choice import selection
from edge_reid.errors import UserError, one_line
from edge_reid.types import Modality

__all__ = ["BACKENDS", "Backend", "Engine", "EngineFacts", "best_precision", "load_engine", "source_of"]


class Backend(NamedTuple):
    """A runtime."""

    module: str
    """Of this package, where it lives."""
    installation: str
    """How its library is installed."""
    reads: str | None
    """The backend that a bundle's manifest gives for the files that it opens or that its engines are compiled from;
    None: engines of every precision are compiled from onnxruntime's FP32 files."""


BACKENDS = {
    "onnxruntime": Backend("onnxruntime_engine", "pip install onnxruntime", "onnxruntime"),
    "openvino": Backend("openvino_engine", "pip install 'edge-reid[openvino]'", "onnxruntime"),
    "ncnn": Backend("ncnn_engine", "pip install 'edge-reid[ncnn]'", None),
    "tensorrt": Backend(
        "tensorrt_engine", "on a Jetson use its own, elsewhere pip install 'edge-reid[tensorrt]'", "tensorrt"
    ),
    "torch": Backend("torch_engine", "pip install 'edge-reid[train]'", "torch"),
}


def load_engine(
    bundle: Bundle | Path,
    modality: Modality,
    backend: str | None = None,
    precision: Precision | None = None,
    device: str | None = None,
) -> Engine:
    """Open a bundle's network.

    Args:
        bundle: an opened bundle or its folder.
        modality: of the crops.
        backend: one of `BACKENDS`; onnxruntime when not given, see below.
        precision: `best_precision` when not given.
        device: "cpu" or "cuda"; the one that the backend runs on, the processor where both do, when not given.

    With none of the three, it is what `edge-reid benchmark` found fastest, if it has measured this bundle on this
    machine: see `edge_reid.engines.choice`.

    Raises:
        UserError: the backend is unknown or not installed, the bundle does not hold what is asked for, or the machine
            has no such device. Nothing is replaced by something else.
    """
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    if (backend, precision, device) == (None, None, None):
        backend, precision, _ = selection(opened, modality)
    chosen = backend or "onnxruntime"
    if chosen not in BACKENDS:
        raise UserError(f"backend {chosen!r} does not exist; choose one of: {', '.join(BACKENDS)}")
    if device not in (None, "cpu", "cuda"):
        raise UserError(f"device {device!r} does not exist; choose cpu or cuda")
    precision = precision or best_precision(opened, modality, chosen)
    file = source_of(opened, modality, chosen, precision)
    try:
        implementation = importlib.import_module(f"{__name__}.{BACKENDS[chosen].module}")
    except ModuleNotFoundError as error:
        remedy = BACKENDS[chosen].installation
        raise UserError(f"backend {chosen}: {error.name} is not installed; {remedy}") from error
    except ImportError as error:
        raise UserError(f"backend {chosen}: its library does not load: {one_line(error)}") from error
    home = "cuda" if chosen == "tensorrt" else "cpu"
    engine: Engine = implementation.open_engine(opened.manifest, file, modality, precision, device or home)
    return engine


def best_precision(bundle: Bundle, modality: Modality, backend: str) -> Precision:
    """The fewest bits that a bundle has for a backend; FP32 where other precisions are compiled from that."""
    reads = BACKENDS[backend].reads
    held = {entry.precision for entry in bundle.entries(modality, reads)} if reads else set()
    return "int8" if "int8" in held else "fp16" if "fp16" in held else "fp32"


def source_of(bundle: Bundle, modality: Modality, backend: str, precision: Precision) -> Path:
    """The file of a bundle that a backend opens, or that its engine of this precision is compiled from.

    Raises:
        UserError: the bundle has no such file, it is missing, or it was changed.
    """
    reads = BACKENDS[backend].reads
    return bundle.file(modality, reads, precision) if reads else bundle.file(modality, "onnxruntime", "fp32")
