"""TensorRT 10.3 (JetPack 6) to 11, from the engine that `edge-reid compile` built on this device.

Only calls that all of these versions have; type-checked against 10.3, 10.13, 10.16 and 11.4, run on no GPU yet.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import tensorrt as trt
from numpy.typing import NDArray

from edge_reid.bundle import Manifest, Precision
from edge_reid.engines.base import EngineFacts, NetworkEngine, check_shape
from edge_reid.engines.compiled import Compiled
from edge_reid.engines.cuda import CudaMemory, gpu
from edge_reid.engines.plan import PLAN, usable
from edge_reid.engines.tensorrt_log import Log
from edge_reid.errors import UserError
from edge_reid.types import Modality


def open_engine(manifest: Manifest, file: Path, modality: Modality, precision: Precision, device: str) -> NetworkEngine:
    """Load the engine that was compiled from a bundle's graph.

    Raises:
        UserError: the device is no GPU, or the engine is missing, foreign or stale.
    """
    if device == "cpu":
        raise UserError("device cpu: TensorRT computes on NVIDIA GPUs; pass cuda, or take the onnxruntime backend")
    began = time.perf_counter()
    version = str(trt.__version__)
    compiled = Compiled(file, "tensorrt", modality, precision)
    record = usable(compiled, tensorrt=version, gpu=str(gpu().name()))
    size, most = manifest.input_size, record.batches[2]
    crop = (*size, 3) if modality == "visible" else size
    network = _Network(compiled, crop, manifest.embedding_dim, most, record.dla)
    check_shape(file, manifest, network.size, network.embedding_dim)
    facts = EngineFacts.of(
        compiled.path(PLAN),
        began,
        backend="tensorrt",
        version=version,
        precision=precision,
        device=record.device if record.dla is None else f"DLA {record.dla} of {record.device}",
        threads=1,
    )
    return NetworkEngine(
        modality,
        manifest.embedding_dim,
        size,
        facts,
        network.run,
        max_batch=most,
        release=network.close,
        time_on_device=lambda crops: network.memory.device_times(crops, network.launch),
    )


class _Network:
    """A plan on the GPU, with the memory that it computes in."""

    def __init__(
        self, compiled: Compiled, crop: tuple[int, ...], embedding_dim: int, most: int, dla: int | None
    ) -> None:
        self.plan, self.crop = compiled.path(PLAN), crop
        self.memory = CudaMemory(crop, embedding_dim, most)
        self.log = Log()
        with self.memory.current():
            self.runtime = trt.Runtime(self.log)
            if dla is not None:
                self.runtime.DLA_core = dla
            self.engine: trt.ICudaEngine | None = self.runtime.deserialize_cuda_engine(self.plan.read_bytes())
            self.context: trt.IExecutionContext | None = (
                None if self.engine is None else self.engine.create_execution_context()
            )
        if self.engine is None or self.context is None:
            self.close()
            raise compiled.refusal(self.plan, f"TensorRT {trt.__version__} does not load it: {self.log.last()}")
        names = [self.engine.get_tensor_name(number) for number in range(self.engine.num_io_tensors)]
        sides = {self.engine.get_tensor_mode(name): name for name in names}
        self.source, target = sides[trt.TensorIOMode.INPUT], sides[trt.TensorIOMode.OUTPUT]
        taken, made = self.engine.get_tensor_shape(self.source), self.engine.get_tensor_shape(target)
        self.size, self.embedding_dim = (int(taken[1]), int(taken[2])), int(made[1])
        for name, address in zip((self.source, target), self.memory.addresses, strict=True):
            self._agreed(self.context.set_tensor_address(name, address), f"the address of {name}")

    def run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.memory.run(crops, self.launch)

    def launch(self, count: int, stream: int) -> None:
        if self.context is None:
            raise RuntimeError(f"{self.plan}: used after close(); load the engine again")
        self._agreed(self.context.set_input_shape(self.source, (count, *self.crop)), f"{count} crops")
        self._agreed(self.context.execute_async_v3(stream), "a run")

    def close(self) -> None:
        """TensorRT's objects go first: they hold memory of the context that goes with `memory`."""
        with self.memory.current():
            self.context = self.engine = None
            del self.runtime
        self.memory.close()

    def _agreed(self, done: bool, what: str) -> None:
        """TensorRT answers False where others raise."""
        if not done:
            raise RuntimeError(f"{self.plan}: TensorRT {trt.__version__} refused {what}; build the engine again")
