"""Memory and a stream on an NVIDIA GPU for a network with one input and one output.

Through pycuda, in the device's primary context, which PyTorch and TensorRT share: it is current within a call only, so
that calls may come from any thread, one at a time. With cuda-python, the work of each batch size is recorded once and
then replayed as a CUDA graph: one launch for all kernels of a small network. Needs no TensorRT.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pycuda.driver as cuda
from numpy.typing import NDArray

from edge_reid.engines.base import DeviceTimes
from edge_reid.errors import UserError
from edge_reid.machine import board

Launch = Callable[[int, int], None]
"""Puts the network's work for so many crops on a stream, given as a number."""


class CudaMemory:
    """Pinned and device memory for the largest batch, and the stream that fills, computes and empties it."""

    def __init__(self, crop: tuple[int, ...], embedding_dim: int, max_batch: int, *, device: int = 0) -> None:
        """Take the memory; nothing is allocated later.

        Args:
            crop: shape of one, uint8.
            embedding_dim: numbers that the network makes of it, float32.
            max_batch: crops of a call at most.
            device: which GPU.

        Raises:
            UserError: there is no such GPU, or too little memory.
        """
        self._lock = threading.Lock()
        self._graphs: dict[int, Any] = {}
        self._scratch: list[Any] = []
        self._closed = False
        self._context = gpu(device).retain_primary_context()
        try:
            with self._current():
                self._crops = cuda.pagelocked_empty((max_batch, *crop), np.uint8)
                self._embeddings = cuda.pagelocked_empty((max_batch, embedding_dim), np.float32)
                self._input = cuda.mem_alloc(self._crops.nbytes)
                self._output = cuda.mem_alloc(self._embeddings.nbytes)
                self._stream = cuda.Stream()
        except cuda.Error as error:
            raise UserError(f"device cuda:{device}: {error}; close other programs, or build for fewer crops") from error

    @property
    def addresses(self) -> tuple[int, int]:
        """Of the network's input and output on the device."""
        return int(self._input), int(self._output)

    def scratch(self, size: int) -> int:
        """The address of so many bytes more on the device, which are given back with the rest.

        Raises:
            UserError: there is too little memory.
        """
        with self._lock, self._current():
            try:
                self._scratch.append(cuda.mem_alloc(max(size, 1)))
            except cuda.Error as error:
                raise UserError(f"device cuda: {error}; close other programs, or build for fewer crops") from error
        return int(self._scratch[-1])

    def run(self, crops: NDArray[np.uint8], launch: Launch) -> NDArray[np.float32]:
        """Move crops there, compute, move embeddings back: `(n, ...) -> (n, D)`, the caller's to keep."""
        count = len(crops)
        with self._lock, self._current():
            self._crops[:count] = crops
            cuda.memcpy_htod_async(self._input, self._crops[:count], self._stream)
            self._launch(count, launch)
            cuda.memcpy_dtoh_async(self._embeddings[:count], self._output, self._stream)
            self._stream.synchronize()
            return np.array(self._embeddings[:count])

    def device_times(self, crops: NDArray[np.uint8], launch: Launch) -> DeviceTimes:
        """What `run` does once more, with events of the GPU between its parts."""
        count = len(crops)
        with self._lock, self._current():
            marks = [cuda.Event() for _ in range(4)]
            self._crops[:count] = crops
            marks[0].record(self._stream)
            cuda.memcpy_htod_async(self._input, self._crops[:count], self._stream)
            marks[1].record(self._stream)
            self._launch(count, launch)
            marks[2].record(self._stream)
            cuda.memcpy_dtoh_async(self._embeddings[:count], self._output, self._stream)
            marks[3].record(self._stream)
            marks[3].synchronize()
            there, compute, back = (float(marks[part + 1].time_since(marks[part])) for part in range(3))
        return DeviceTimes(compute_ms=compute, copies_ms=there + back)

    def close(self) -> None:
        """Give memory, graphs and context back; a second time does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            with self._current():
                for graph in self._graphs.values():
                    _checked(_runtime().cudaGraphExecDestroy(graph))
                self._graphs.clear()
                for memory in (self._input, self._output, *self._scratch, self._crops.base, self._embeddings.base):
                    memory.free()
                del self._stream
            self._context.detach()

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """The context is current for this thread within the block, for work that `launch` prepares."""
        with self._lock, self._current():
            yield

    @contextlib.contextmanager
    def _current(self) -> Iterator[None]:
        self._context.push()
        try:
            yield
        finally:
            cuda.Context.pop()

    def _launch(self, count: int, launch: Launch) -> None:
        """The work of `count` crops: replayed, or recorded for the next time after it was done once."""
        runtime, handle = _runtime(), int(self._stream.handle)
        if count in self._graphs:
            _checked(runtime.cudaGraphLaunch(self._graphs[count], handle))
            return
        launch(count, handle)  # what is allocated at the first time must not be recorded
        if runtime is None:
            return
        self._stream.synchronize()
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        _checked(runtime.cudaStreamBeginCapture(handle, mode))
        try:
            launch(count, handle)
        finally:
            graph = _checked(runtime.cudaStreamEndCapture(handle))
        self._graphs[count] = _checked(runtime.cudaGraphInstantiate(graph, 0))
        _checked(runtime.cudaGraphDestroy(graph))


def gpu(number: int = 0) -> Any:
    """pycuda's device.

    Raises:
        UserError: there is none.
    """
    try:
        cuda.init()
        return cuda.Device(number)
    except cuda.Error as error:
        raise UserError(f"device cuda:{number}: {error}; `edge-reid doctor` tells what this machine has") from error


def gpu_name(number: int = 0) -> str:
    """What a plan is built for: the GPU, and on a Jetson the board, for all boards of a family call their GPU alike."""
    return ", ".join(filter(None, [str(gpu(number).name()), board()]))


@functools.cache
def _runtime() -> Any:
    """cuda-python's runtime under either of its names, None without it."""
    for name in ("cuda.bindings.runtime", "cuda.cudart"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    return None


def _checked(answer: tuple[Any, ...]) -> Any:
    """What a call of cuda-python gives besides its error code.

    Raises:
        RuntimeError: the code is not success.
    """
    code, *values = answer
    if int(code) != 0:
        raise RuntimeError(f"CUDA: {code}; `edge-reid doctor` tells what this machine has")
    return values[0] if values else None
