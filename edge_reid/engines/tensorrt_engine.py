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
from edge_reid.engines.cuda import CudaMemory, gpu_name
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
    record = usable(compiled, tensorrt=version, gpu=gpu_name())
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
        least_batch=record.batches[0],
        release=network.close,
        time_on_device=lambda crops: network.memory.device_times(crops, network.launch),
    )


class _Network:
    """A plan on the GPU, with the memory that it computes in.

    Each number of crops has an execution context of its own, for a recorded CUDA graph holds only as long as the
    context that it was recorded from keeps its shapes. The contexts never compute at the same time, so that they share
    one piece of memory.
    """

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
        self.contexts: dict[int, trt.IExecutionContext] = {}
        if self.engine is None:
            self.close()
            raise compiled.refusal(self.plan, f"TensorRT {trt.__version__} does not load it: {self.log.last()}")
        self.scratch = self.memory.scratch(self.engine.device_memory_size_v2)
        names = [self.engine.get_tensor_name(number) for number in range(self.engine.num_io_tensors)]
        sides = {self.engine.get_tensor_mode(name): name for name in names}
        self.source, self.target = sides[trt.TensorIOMode.INPUT], sides[trt.TensorIOMode.OUTPUT]
        taken, made = self.engine.get_tensor_shape(self.source), self.engine.get_tensor_shape(self.target)
        self.size, self.embedding_dim = (int(taken[1]), int(taken[2])), int(made[1])

    def run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.memory.run(crops, self.launch)

    def launch(self, count: int, stream: int) -> None:
        if count not in self.contexts:
            self.contexts[count] = self._context(count)
        self._agreed(self.contexts[count].execute_async_v3(stream), "a run")

    def _context(self, count: int) -> trt.IExecutionContext:
        if self.engine is None:
            raise RuntimeError(f"{self.plan}: used after close(); load the engine again")
        context = self.engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if context is None:
            raise RuntimeError(f"{self.plan}: TensorRT {trt.__version__} made no context: {self.log.last()}")
        context.set_device_memory(self.scratch, self.engine.device_memory_size_v2)
        for name, address in zip((self.source, self.target), self.memory.addresses, strict=True):
            self._agreed(context.set_tensor_address(name, address), f"the address of {name}")
        self._agreed(context.set_input_shape(self.source, (count, *self.crop)), f"{count} crops")
        return context

    def close(self) -> None:
        """TensorRT's objects go first: they hold memory of the context that goes with `memory`."""
        with self.memory.current():
            self.contexts.clear()
            self.engine = None
            del self.runtime
        self.memory.close()

    def _agreed(self, done: bool, what: str) -> None:
        """TensorRT answers False where others raise."""
        if not done:
            raise RuntimeError(f"{self.plan}: TensorRT {trt.__version__} refused {what}; build the engine again")
