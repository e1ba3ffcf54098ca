"""Builds a TensorRT engine from a graph; run as a process of its own, `python -m edge_reid_export.tensorrt_build`.

One code path from 10.3 to 11.4: what a version may lack is asked for by name. Networks are strongly typed, so precision
is what the graph's own types say, and INT8 its pairs of QuantizeLinear and DequantizeLinear. Type-checked against 10.3,
10.13, 10.16 and 11.4; it has not run on any GPU yet.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import tensorrt as trt
from pydantic import BaseModel, ConfigDict

from edge_reid.engines.tensorrt_log import Log
from edge_reid.errors import UserError
from edge_reid.files import atomic_file
from edge_reid_export.process import REFUSED


class BuildPlan(BaseModel):
    """What to build."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Path
    """The graph."""
    out: Path
    """The engine."""
    timing_cache: Path
    """Read where it is there, and written: a second build takes seconds."""
    batches: tuple[int, int, int]
    """Least, best and most crops of a call."""
    workspace_mib: int
    """Memory that the builder may try kernels in."""
    level: int
    """Of the builder's effort, 0 to 5."""
    dla: int | None
    """Core of a deep learning accelerator, None for the GPU."""


class Built(BaseModel):
    """What the builder says."""

    on_gpu: list[str]
    """Layers that the DLA could not take."""
    kernels: dict[str, int]
    """Layers of the engine by the type of their first output, "Reformat" apart."""


def build(plan: BuildPlan) -> Built:
    """Write the engine.

    Raises:
        UserError: TensorRT cannot read the graph, the device has no such DLA, or no engine came of it.
    """
    log = Log()
    builder = trt.Builder(log)
    network = builder.create_network(_flags())
    parser = trt.OnnxParser(network, log)
    if not parser.parse(plan.source.read_bytes()):
        raise UserError(f"{plan.source}: TensorRT {trt.__version__} cannot read it: {log.last()}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, plan.workspace_mib << 20)
    config.builder_optimization_level = plan.level
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    crops = network.get_input(0)
    rest = [int(crops.shape[axis]) for axis in range(1, len(crops.shape))]
    profile = builder.create_optimization_profile()
    profile.set_shape(crops.name, *([count, *rest] for count in plan.batches))
    config.add_optimization_profile(profile)
    on_gpu = _use_dla(builder, network, config, plan.dla) if plan.dla is not None else []
    cache = config.create_timing_cache(plan.timing_cache.read_bytes() if plan.timing_cache.exists() else b"")
    config.set_timing_cache(cache, ignore_mismatch=False)
    blob = builder.build_serialized_network(network, config)
    if blob is None:
        raise UserError(f"{plan.source}: TensorRT {trt.__version__} built no engine: {log.last()}")
    for path, content in ((plan.timing_cache, config.get_timing_cache().serialize()), (plan.out, blob)):
        with atomic_file(path) as temporary:
            temporary.write_bytes(memoryview(content))
    return Built(on_gpu=on_gpu, kernels=_kernels(bytes(memoryview(blob)), log))


def _flags() -> int:
    """Strongly typed, as 11 always is; 10 must be asked."""
    strongly = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if strongly is None else 1 << int(strongly)


def _use_dla(builder: trt.Builder, network: trt.INetworkDefinition, config: trt.IBuilderConfig, core: int) -> list[str]:
    """Put what a DLA takes on it; returns the names of the layers that stay on the GPU."""
    if core >= builder.num_DLA_cores:
        raise UserError(f"--dla {core}: this device has {builder.num_DLA_cores} DLA cores; leave it out")
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    layers = [network.get_layer(number) for number in range(network.num_layers)]
    return [layer.name for layer in layers if not config.can_run_on_DLA(layer)]


def _kernels(blob: bytes, log: Log) -> dict[str, int]:
    """How many layers of the engine compute in which type, as its inspector tells."""
    engine = trt.Runtime(log).deserialize_cuda_engine(blob)
    if engine is None:
        raise UserError(f"TensorRT cannot load the engine that it has just built: {log.last()}; check the GPU's memory")
    inspector = engine.create_engine_inspector()
    told = json.loads(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
    counts: dict[str, int] = {}
    for layer in told.get("Layers", []):
        if not isinstance(layer, dict):
            continue
        outputs = layer.get("Outputs") or [{}]
        kind = "Reformat" if layer.get("LayerType") == "Reformat" else str(outputs[0].get("Format/Datatype", "unknown"))
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def main() -> int:
    """Build what standard input describes; the answer is one line of JSON."""
    try:
        built = build(BuildPlan.model_validate_json(sys.stdin.read()))
    except UserError as error:
        print(error, file=sys.stderr)
        return REFUSED
    print(built.model_dump_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
