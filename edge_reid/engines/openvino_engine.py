"""OpenVINO on an Intel or AMD processor: from the bundle's ONNX graphs, or from what `edge-reid compile` made of them.

One crop is computed by all threads together; of several crops each gets threads of its own, which then never wait for
each other. It runs the convolutions of an INT8 graph faster than ONNX Runtime does: OSNet x1.0 at 256 x 128, batch 1,
in 4.7 ms against 5.6 ms on a 2-core AMD EPYC with avx512_vnni (OpenVINO 2026.4, onnxruntime 1.31).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import logging
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray

from edge_reid.bundle import Manifest, Precision
from edge_reid.engines.base import EngineFacts, NetworkEngine, check_shape, thread_count
from edge_reid.engines.compiled import RECORD, Compiled, EngineRecord
from edge_reid.errors import UserError
from edge_reid.machine import processor
from edge_reid.types import Modality

MOST_STREAMS = 4
"""Crops computed side by side; rounds of more would seldom be full, for few people are in view at once."""

BLOB = ".blob"

ARITHMETIC: dict[str, str | int] = {
    # By default it computes a float graph in bfloat16 wherever the processor can: another precision than asked for. A
    # blob does not keep it, so it is given when one is opened, too.
    "INFERENCE_PRECISION_HINT": "f32",
}

Load = Callable[[int], openvino.CompiledModel]
"""The network with so many streams, which share the threads."""

_log = logging.getLogger(__name__)


def open_engine(manifest: Manifest, file: Path, modality: Modality, precision: Precision, device: str) -> NetworkEngine:
    """Open the blob that was compiled from a bundle's .onnx file; compile the file, a second or two, where none fits.

    A blob that does not fit is no error but a warning: without it the same network runs in the same precision, and only
    starts later.

    Raises:
        UserError: the device is not a processor, or this OpenVINO cannot read the file.
    """
    if device != "cpu":
        raise UserError(f"device {device}: OpenVINO has no such device; use cpu, or the onnxruntime backend")
    began = time.perf_counter()
    opened, load = _fitting(Compiled(file, "openvino", modality, precision))
    streams = min(thread_count(), MOST_STREAMS)
    try:
        with kept_signal_stack():
            network = load(1)
            (_, height, width, *_), (_, embedding_dim) = network.input(0).shape, network.output(0).shape
            check_shape(opened, manifest, (height, width), embedding_dim)
            alone = network.create_infer_request()
            several = load(streams) if streams > 1 else network
            beside = [several.create_infer_request() for _ in range(streams)] if streams > 1 else []
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"{opened}: OpenVINO {openvino.__version__} cannot open it: {reason}") from error
    for request in (alone, *beside):
        # At the first call OpenVINO's Python bindings build a table under a lock and give Python's lock away meanwhile:
        # two first calls at once wait for each other for ever (2026.4).
        request.infer({0: np.zeros(network.input(0).shape, np.uint8)}, share_inputs=True)
    threads = ThreadPoolExecutor(max(1, len(beside) - 1))  # the calling thread computes, too
    run = _run(alone, beside, threads, manifest.embedding_dim)
    facts = EngineFacts.of(
        opened,
        began,
        backend="openvino",
        version=openvino.__version__,
        precision=precision,
        device=device,
        threads=thread_count(),
    )
    return NetworkEngine(modality, manifest.embedding_dim, manifest.input_size, facts, run, release=threads.shutdown)


def usable(compiled: Compiled) -> EngineRecord:
    """The record of a blob that this OpenVINO and this processor can run.

    Raises:
        UserError: there is none, it is damaged, or it was built from another graph, by another OpenVINO or for another
            processor.
    """
    record, blob = compiled.read(EngineRecord, BLOB), compiled.path(BLOB)
    if record.version != openvino.__version__:
        raise compiled.refusal(blob, f"built by OpenVINO {record.version}, and {openvino.__version__} is installed")
    if record.device != processor()[0]:
        raise compiled.refusal(blob, f"built on {record.device}, and this is {processor()[0]}")
    if record.options != ARITHMETIC:
        raise compiled.refusal(blob, f"built with {record.options} instead of {ARITHMETIC}")
    return record


def graph_blob(file: Path) -> bytes:
    """What OpenVINO makes of a bundle's graph for this processor; it serves any number of threads and streams.

    Raises:
        UserError: this OpenVINO cannot read the file.
    """
    try:
        with kept_signal_stack():
            exported: io.BytesIO = _from_graph(file)(1).export_model()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"{file}: OpenVINO {openvino.__version__} cannot open it: {reason}") from error
    return exported.getvalue()


def _fitting(compiled: Compiled) -> tuple[Path, Load]:
    """The blob if it fits, else the graph; the file, and what loads it."""
    if compiled.path(RECORD).exists():
        try:
            usable(compiled)
            return compiled.path(BLOB), _from_blob(compiled.path(BLOB))
        except UserError as error:
            _log.warning("%s; until then every start compiles %s", error, compiled.source.name)
    return compiled.source, _from_graph(compiled.source)


def _from_blob(file: Path) -> Load:
    core, content = openvino.Core(), file.read_bytes()
    return lambda streams: core.import_model(io.BytesIO(content), "CPU", compile_options(streams))


def _from_graph(file: Path) -> Load:
    core = openvino.Core()

    @functools.cache
    def model() -> openvino.Model:
        read = core.read_model(file)
        # One crop a request: a fixed shape is 25 % faster than an open one, and a batch in one request gains nothing.
        read.reshape([1, *(dimension.get_length() for dimension in list(read.input(0).partial_shape)[1:])])
        return read

    return lambda streams: core.compile_model(model(), "CPU", compile_options(streams))


def compile_options(streams: int) -> dict[str, str | int]:
    how: dict[str, str | int] = {"PERFORMANCE_HINT": "LATENCY"} if streams == 1 else {"NUM_STREAMS": streams}
    return {"INFERENCE_NUM_THREADS": thread_count(), **how, **ARITHMETIC}


def _run(
    alone: openvino.InferRequest, beside: list[openvino.InferRequest], threads: ThreadPoolExecutor, embedding_dim: int
) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Crops `(N, ...)` to embeddings `(N, D)`: rounds of `beside` at the same time; what fills no round, one by one.

    Calls that block, in threads of our own: one of openvino.AsyncInferQueue's lasted 199 s here, nobody found out why.
    """

    def run(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        embeddings = np.empty((len(crops), embedding_dim), np.float32)

        def compute(request: openvino.InferRequest, rows: Iterator[int]) -> None:
            for row in rows:
                embeddings[row] = request.infer({0: crops[row : row + 1]}, share_inputs=True)[0]

        rest = len(crops) % len(beside) if beside else len(crops)
        if len(crops) > rest:
            rows = iter(range(len(crops) - rest))  # each takes the next one when it is ready
            others = [threads.submit(compute, request, rows) for request in beside[1:]]
            compute(beside[0], rows)
            for other in others:
                other.result()
        compute(alone, iter(range(len(crops) - rest, len(crops))))
        return embeddings

    return run


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
