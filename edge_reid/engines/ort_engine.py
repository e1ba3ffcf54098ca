"""The format of ONNX Runtime's builds for Android and iOS, here opened by the whole ONNX Runtime, to compare it."""

from __future__ import annotations

from pathlib import Path

from edge_reid.bundle import Manifest, Precision
from edge_reid.engines import onnxruntime_engine
from edge_reid.engines.base import NetworkEngine
from edge_reid.engines.compiled import Compiled, EngineRecord
from edge_reid.types import Modality

NETWORK, OPERATORS = ".ort", ".config"


def open_engine(manifest: Manifest, file: Path, modality: Modality, precision: Precision, device: str) -> NetworkEngine:
    """Open what was compiled from a bundle's .onnx file.

    Raises:
        UserError: it is missing, damaged or built from another graph, or this onnxruntime cannot use it.
    """
    compiled = Compiled(file, "ort", modality, precision)
    compiled.read(EngineRecord, NETWORK, OPERATORS)
    return onnxruntime_engine.open_engine(manifest, compiled.path(NETWORK), modality, precision, device)
