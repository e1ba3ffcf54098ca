"""OpenVINO on an Intel or AMD processor, from the bundle's ONNX graphs.

One crop is computed by all threads together; of several crops each gets threads of its own, which then never wait for
each other. It runs the convolutions of an INT8 graph faster than ONNX Runtime does: OSNet x1.0 at 256 x 128, batch 1,
in 4.7 ms against 5.6 ms on a 2-core AMD EPYC with avx512_vnni (OpenVINO 2026.4, onnxruntime 1.31).
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray

from edge_reid.bundle import Manifest, Precision
from edge_reid.engines.base import EngineFacts, NetworkEngine, check_shape, thread_count
from edge_reid.errors import UserError
from edge_reid.types import Modality

MOST_STREAMS = 4
"""Crops computed side by side; rounds of more would seldom be full, for few people are in view at once."""


def open_engine(manifest: Manifest, file: Path, modality: Modality, precision: Precision, device: str) -> NetworkEngine:
    """Compile a bundle's .onnx file, a second or two.

    Raises:
        UserError: the device is not a processor, or this OpenVINO cannot read the file.
    """
    if device != "cpu":
        raise UserError(f"device {device}: OpenVINO has no such device; use cpu, or the onnxruntime backend")
    began = time.perf_counter()
    threads = thread_count()
    try:
        core = openvino.Core()
        model = core.read_model(file)
        height, width = (model.input(0).partial_shape[axis].get_length() for axis in (1, 2))
        check_shape(file, manifest, (height, width), model.output(0).partial_shape[1].get_length())
        # One crop a request: a fixed shape is 25 % faster than an open one, and a batch in one request gains nothing.
        model.reshape([1, *(dimension.get_length() for dimension in list(model.input(0).partial_shape)[1:])])
        with kept_signal_stack():
            alone = core.compile_model(model, "CPU", compile_options(threads, 1)).create_infer_request()
            beside, streams = None, min(threads, MOST_STREAMS)
            if streams > 1:
                compiled = core.compile_model(model, "CPU", compile_options(threads, streams))
                beside = openvino.AsyncInferQueue(compiled, streams)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"{file}: OpenVINO {openvino.__version__} cannot open it: {reason}") from error

    run = _run(alone, beside, streams, manifest.embedding_dim)
    facts = EngineFacts.of(
        file,
        began,
        backend="openvino",
        version=openvino.__version__,
        precision=precision,
        device=device,
        threads=threads,
    )
    return NetworkEngine(modality, manifest.embedding_dim, manifest.input_size, facts, run)


def compile_options(threads: int, streams: int) -> dict[str, str | int]:
    """For a network with so many streams, which share the threads."""
    hint: dict[str, str | int] = {"PERFORMANCE_HINT": "LATENCY"} if streams == 1 else {"NUM_STREAMS": streams}
    # By default it computes a float graph in bfloat16 wherever the processor can: another precision than asked for.
    return {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", **hint}


def _run(
    alone: openvino.InferRequest, beside: openvino.AsyncInferQueue | None, streams: int, embedding_dim: int
) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Crops `(N, ...)` to embeddings `(N, D)`: `streams` of them side by side; what fills no round, one by one."""

    def run(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        embeddings = np.empty((len(crops), embedding_dim), np.float32)
        side_by_side = len(crops) - len(crops) % streams if beside else 0
        if beside and side_by_side:
            beside.set_callback(lambda request, row: _keep(embeddings, row, request))
            for row in range(side_by_side):
                beside.start_async({0: crops[row : row + 1]}, row, share_inputs=True)
            beside.wait_all()
        for row in range(side_by_side, len(crops)):
            embeddings[row] = alone.infer({0: crops[row : row + 1]})[0]
        return embeddings

    return run


def _keep(embeddings: NDArray[np.float32], row: int, request: openvino.InferRequest) -> None:
    embeddings[row] = request.get_output_tensor(0).data[0]


class _SignalStack(ctypes.Structure):
    """`stack_t` of <signal.h>."""

    _fields_ = (("pointer", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextlib.contextmanager
def kept_signal_stack() -> Iterator[None]:
    """The thread has the same alternate signal stack after the block as before.

    OpenVINO 2026.4 replaces it while it compiles, and on release puts back what it found: of two engines released in
    the order in which they were opened, the second one's find is the first one's stack, long unmapped, and the next
    signal that Python handles (a child that ends, under PyTorch's loader) kills the process.
    """
    if sys.platform != "linux":
        yield
        return
    stack, libc = _SignalStack(), ctypes.CDLL(None)
    libc.sigaltstack(None, ctypes.byref(stack))
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(stack), None)
