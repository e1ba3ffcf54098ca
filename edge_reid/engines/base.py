"""What every engine is, and the splitting into batches that all of them share.

Shapes: N crops of H x W pixels, D the embedding's size.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_reid.bundle import Manifest, Precision
from edge_reid.errors import UserError
from edge_reid.types import Modality

MAX_BATCH = 32
"""Crops in one call of a network: bounds memory, and larger batches are no faster on a CPU."""

THREADS = "EDGE_REID_THREADS"


@dataclass(frozen=True)
class EngineFacts:
    """What an engine is made of."""

    backend: str
    precision: Precision
    device: str
    threads: int
    """That one call may use."""
    version: str
    """Of the backend's library."""
    file: str
    file_bytes: int
    load_seconds: float

    @classmethod
    def of(
        cls, file: Path, began: float, *, backend: str, version: str, precision: Precision, device: str, threads: int
    ) -> EngineFacts:
        """Those of an engine that is ready now and whose loading began at `time.perf_counter() == began`."""
        seconds = time.perf_counter() - began
        return cls(backend, precision, device, threads, version, file.name, file.stat().st_size, seconds)


@dataclass(frozen=True)
class DeviceTimes:
    """Where a call's time goes on a GPU, by the GPU's own clock."""

    compute_ms: float
    copies_ms: float
    """There and back."""


class Engine(Protocol):
    """Turns crops of one modality into embeddings."""

    @property
    def name(self) -> str:
        """For tables: backend, precision and modality."""
        ...

    @property
    def modality(self) -> Modality:
        """Of the crops."""
        ...

    @property
    def embedding_dim(self) -> int:
        """D"""
        ...

    @property
    def max_batch(self) -> int:
        """Crops in one call of the network; more are split."""
        ...

    @property
    def facts(self) -> EngineFacts:
        """What it is made of."""
        ...

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Crops, uint8 `(N, H, W, 3)` BGR or `(N, H, W)`, N >= 0, `-> (N, D)`, unit norm, the caller's to keep."""
        ...

    def device_times(self, crops: NDArray[np.uint8]) -> DeviceTimes | None:
        """Of one more call with `1..max_batch` crops; None where there is no such clock."""
        ...

    def close(self) -> None:
        """Give memory and threads back; the engine is not used afterwards."""
        ...


@dataclass
class NetworkEngine:
    """An engine around a function that runs a network once; each backend makes one."""

    modality: Modality
    embedding_dim: int
    size: tuple[int, int]
    """(H, W)"""
    facts: EngineFacts
    run: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None
    """`1..max_batch` crops to embeddings; None once closed."""
    max_batch: int = MAX_BATCH
    least_batch: int = 1
    """Crops that every call of the network has; what is missing is filled with black ones."""
    release: Callable[[], None] | None = None
    """Gives back what garbage collection does not; called once, at the end."""
    time_on_device: Callable[[NDArray[np.uint8]], DeviceTimes] | None = None

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.facts.backend} {self.facts.precision} {self.modality}"

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Engine.embed`.

        Raises:
            ValueError: the crops are not of this engine's modality, size or type.
        """
        if self.run is None:
            raise RuntimeError(f"{self.name}: used after close(); load the engine again")
        shape = (*self.size, 3) if self.modality == "visible" else self.size
        if crops.dtype != np.uint8 or crops.shape[1:] != shape:
            raise ValueError(f"{self.name}: expected uint8 crops (N, {str(shape)[1:]}, got {crops.dtype} {crops.shape}")
        embeddings = np.empty((len(crops), self.embedding_dim), dtype=np.float32)
        for start in range(0, len(crops), self.max_batch):
            chunk = crops[start : start + self.max_batch]
            embeddings[start : start + len(chunk)] = self.run(self._filled(chunk))[: len(chunk)]
        return embeddings

    def _filled(self, crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
        missing = self.least_batch - len(crops)
        if missing > 0:
            return np.concatenate([crops, np.zeros((missing, *crops.shape[1:]), np.uint8)])
        return np.ascontiguousarray(crops)

    def device_times(self, crops: NDArray[np.uint8]) -> DeviceTimes | None:
        """See `Engine.device_times`."""
        if self.time_on_device is None or not 1 <= len(crops) <= self.max_batch:
            return None
        return self.time_on_device(self._filled(crops))

    def close(self) -> None:
        """See `Engine.close`."""
        self.run = None
        if self.release is not None:
            self.release()
            self.release = None


def check_shape(file: Path, manifest: Manifest, size: tuple[int, int], embedding_dim: int) -> None:
    """Refuse a file that takes or gives something else than the bundle's manifest says.

    Raises:
        UserError: the crops' size or the embedding's differs.
    """
    if (size, embedding_dim) != (manifest.input_size, manifest.embedding_dim):
        raise UserError(
            f"{file}: takes crops of {size[0]}x{size[1]} and gives {embedding_dim} numbers, the manifest says "
            f"{manifest.input_size[0]}x{manifest.input_size[1]} and {manifest.embedding_dim}; copy the bundle again"
        )


def thread_count() -> int:
    """Threads that one call may use: the variable EDGE_REID_THREADS, else the processors this process may run on.

    Raises:
        UserError: the variable is not a positive number.
    """
    text = os.environ.get(THREADS)
    if text is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.isdecimal() or int(text) == 0:
        raise UserError(f"{THREADS}={text}: set it to a number of threads, 1 or more, or unset it")
    return int(text)
