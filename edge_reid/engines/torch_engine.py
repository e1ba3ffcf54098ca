"""Eager PyTorch from the bundle's weights: the reference that every other engine is compared with."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edge_reid.bundle import Manifest, Precision
from edge_reid.engines.base import THREADS, EngineFacts, NetworkEngine, thread_count
from edge_reid.errors import UserError
from edge_reid.training.checkpoint import load_model
from edge_reid.types import Modality


def open_engine(manifest: Manifest, file: Path, modality: Modality, precision: Precision, device: str) -> NetworkEngine:
    """Rebuild the network of a bundle's model.safetensors.

    Raises:
        UserError: the device is not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device cuda: this PyTorch sees no GPU; install a CUDA build and its driver, or use cpu")
    began = time.perf_counter()
    if THREADS in os.environ:
        torch.set_num_threads(thread_count())
    branch = load_model(file).model.branch(modality).to(device)

    def run(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            embeddings: NDArray[np.float32] = branch(torch.from_numpy(crops).to(device)).cpu().numpy()
        return embeddings

    facts = EngineFacts(
        backend="torch",
        precision=precision,
        device=device,
        threads=torch.get_num_threads(),
        version=torch.__version__,
        file=file.name,
        file_bytes=file.stat().st_size,
        load_seconds=time.perf_counter() - began,
    )
    return NetworkEngine(modality, manifest.embedding_dim, manifest.input_size, facts, run)
