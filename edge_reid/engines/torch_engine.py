"""Eager PyTorch from the bundle's weights: the reference that every other engine is compared with."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edge_reid.bundle import Manifest, Precision
from edge_reid.engines.base import EngineFacts, NetworkEngine, check_shape, thread_count
from edge_reid.training.checkpoint import load_model
from edge_reid.training.device import choose_device
from edge_reid.types import Modality


def open_engine(manifest: Manifest, file: Path, modality: Modality, precision: Precision, device: str) -> NetworkEngine:
    """Rebuild the network of a bundle's model.safetensors.

    Raises:
        UserError: the device is not there.
    """
    place = choose_device(device)
    began = time.perf_counter()
    torch.set_num_threads(thread_count())  # as many as the other engines have, or the comparison is none
    loaded = load_model(file)
    check_shape(file, manifest, loaded.size, loaded.embedding_dim)
    branch = loaded.model.branch(modality).to(place)

    def run(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            embeddings: NDArray[np.float32] = branch(torch.from_numpy(crops).to(device)).cpu().numpy()
        return embeddings

    facts = EngineFacts.of(
        file,
        began,
        backend="torch",
        version=torch.__version__,
        precision=precision,
        device=device,
        threads=torch.get_num_threads(),
    )
    return NetworkEngine(modality, manifest.embedding_dim, manifest.input_size, facts, run)
