"""What a user would take instead of the bundle's engines: torch.compile, and the ONNX that PyTorch itself writes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_reid.bundle import Bundle
from edge_reid.engines import Engine
from edge_reid.engines.base import THREADS, EngineFacts, NetworkEngine, thread_count
from edge_reid.errors import UserError
from edge_reid.types import Modality

COMPILED, PLAIN = "torch.compile", "plain onnx"

Rival = Literal["compile", "plain"]

Opener = Callable[[Bundle, Modality, Path], Engine]
"""Opens one on a bundle's weights; the folder is for what it must write."""


def open_compiled(bundle: Bundle, modality: Modality, folder: Path) -> Engine:
    """torch.compile with its defaults; it compiles anew for the first batch sizes, minutes altogether.

    Raises:
        UserError: it cannot compile here, for want of a C++ compiler for example.
    """
    import torch

    from edge_reid.training.checkpoint import load_model

    began = time.perf_counter()
    file = bundle.file(modality, "torch", "fp32")
    torch.set_num_threads(thread_count())
    compiled = torch.compile(load_model(file).model.branch(modality))

    def run(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            embeddings: NDArray[np.float32] = compiled(torch.from_numpy(crops)).numpy()
        return embeddings

    engine = _engine(bundle, modality, COMPILED, torch.__version__, torch.get_num_threads(), (file, began), run)
    try:
        engine.embed(np.zeros((1, *_crop(bundle, modality)), np.uint8))
    except RuntimeError as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{COMPILED}: {reason}; it needs a C++ compiler: sudo apt-get install g++") from error
    return engine


def open_plain(bundle: Bundle, modality: Modality, folder: Path) -> Engine:
    """The branch as torch.onnx.export writes it, in ONNX Runtime with its default options.

    Raises:
        ImportError: onnx or onnxscript is not installed.
    """
    import onnxruntime
    import torch

    from edge_reid.training.checkpoint import load_model

    began = time.perf_counter()
    branch = load_model(bundle.file(modality, "torch", "fp32")).model.branch(modality)
    file = folder / f"{modality}.onnx"
    torch.onnx.export(
        branch,
        (torch.zeros((2, *_crop(bundle, modality)), dtype=torch.uint8),),
        file,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        external_data=False,  # one file, whose size is the network's
        verbose=False,
    )
    options = onnxruntime.SessionOptions()
    if THREADS in os.environ:  # else the default, like all other options: every core
        options.intra_op_num_threads = thread_count()
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        embeddings: NDArray[np.float32] = session.run(None, {name: crops})[0]
        return embeddings

    return _engine(bundle, modality, PLAIN, onnxruntime.__version__, thread_count(), (file, began), run)


RIVALS: dict[Rival, tuple[str, Opener]] = {"compile": (COMPILED, open_compiled), "plain": (PLAIN, open_plain)}
"""Their names in the tables, and what opens them."""


def _engine(
    bundle: Bundle,
    modality: Modality,
    name: str,
    version: str,
    threads: int,
    opened: tuple[Path, float],
    run: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
) -> NetworkEngine:
    file, began = opened
    facts = EngineFacts.of(file, began, backend=name, version=version, precision="fp32", device="cpu", threads=threads)
    return NetworkEngine(modality, bundle.manifest.embedding_dim, bundle.manifest.input_size, facts, run)


def _crop(bundle: Bundle, modality: Modality) -> tuple[int, ...]:
    size = bundle.manifest.input_size
    return (*size, 3) if modality == "visible" else size
