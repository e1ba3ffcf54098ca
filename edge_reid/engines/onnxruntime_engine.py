"""ONNX Runtime, on the processor unless CUDA is asked for."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edge_reid.bundle import Manifest, Precision
from edge_reid.engines.base import EngineFacts, NetworkEngine, check_shape, thread_count
from edge_reid.errors import UserError
from edge_reid.types import Modality

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def open_engine(manifest: Manifest, file: Path, modality: Modality, precision: Precision, device: str) -> NetworkEngine:
    """Open a bundle's .onnx file.

    Raises:
        UserError: this onnxruntime cannot use the device, or cannot read the file.
    """
    began = time.perf_counter()
    threads = thread_count()
    session = _session(file, device, threads)
    taken, given = session.get_inputs()[0], session.get_outputs()[0]
    source = taken.name
    check_shape(file, manifest, (taken.shape[1], taken.shape[2]), given.shape[1])

    def run(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        embeddings: NDArray[np.float32] = session.run(None, {source: crops})[0]
        return embeddings

    facts = EngineFacts.of(
        file,
        began,
        backend="onnxruntime",
        version=onnxruntime.__version__,
        precision=precision,
        device=device,
        threads=threads,
    )
    return NetworkEngine(modality, manifest.embedding_dim, manifest.input_size, facts, run)


def _session(file: Path, device: str, threads: int) -> onnxruntime.InferenceSession:
    provider = _PROVIDERS[device]
    if provider not in onnxruntime.get_available_providers():
        raise UserError(f"device {device}: this onnxruntime has no {provider}; pip install onnxruntime-gpu, or use cpu")
    options = session_options(threads)
    if device != "cpu":
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=[provider])
    except Exception as error:  # onnxruntime's exceptions have no common class of their own
        raise UserError(f"{file}: onnxruntime {onnxruntime.__version__} cannot open it on {device}: {error}") from error
    if session.get_providers()[0] != provider:
        raise UserError(
            f"device {device}: onnxruntime fell back to {session.get_providers()[0]}; check the GPU's driver"
        )
    return session


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Those of a session on the processor."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Work in shrinking blocks rather than in equal halves: a thread that was interrupted holds nobody up. INT8 OSNet
    # x1.0 on 2 cores: median 5.70 instead of 5.95 ms, 90th percentile 6.3 instead of 6.7 ms.
    options.add_session_config_entry("session.dynamic_block_base", "4")
    return options
