"""Which layers take the time, by the profilers that ONNX Runtime and OpenVINO have."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from pathlib import Path

from edge_reid.benchmark.rows import Kind, Layer, Profile
from edge_reid.bundle import Bundle
from edge_reid.engines.agreement import made_up_crops
from edge_reid.engines.base import thread_count
from edge_reid.types import Modality

CALLS, WARM_UP = 30, 10
"""Profiled and not; the first calls allocate."""

Times = dict[tuple[str, str], float]
"""Milliseconds of all profiled calls by the layer's name and operator."""


def profile(bundle: Bundle, kind: Kind, modality: Modality) -> Profile | None:
    """Profile calls with one crop; None for an engine that has no profiler of its own.

    A profiler costs time, so shares are to be believed and milliseconds only roughly.
    """
    if kind.engine not in ("onnxruntime", "openvino"):
        return None
    file = bundle.file(modality, "onnxruntime", kind.precision)
    times = (_onnxruntime if kind.engine == "onnxruntime" else _openvino)(file, modality, bundle.manifest.input_size)
    layers = [
        Layer(name=name, operator=operator, milliseconds=total / CALLS) for (name, operator), total in times.items()
    ]
    layers.sort(key=lambda layer: -layer.milliseconds)
    return Profile(engine=kind.engine, precision=kind.precision, modality=modality, layers=layers)


def shares(profile: Profile) -> list[tuple[str, int, float]]:
    """Per operator type its name, how many layers are of it, and their share of the time; the largest first."""
    total = sum(layer.milliseconds for layer in profile.layers)
    counts: dict[str, int] = defaultdict(int)
    sums: dict[str, float] = defaultdict(float)
    for layer in profile.layers:
        counts[layer.operator] += 1
        sums[layer.operator] += layer.milliseconds / total
    return sorted(((name, counts[name], share) for name, share in sums.items()), key=lambda one: -one[2])


def _onnxruntime(file: Path, modality: Modality, size: tuple[int, int]) -> Times:
    import onnxruntime

    from edge_reid.engines.onnxruntime_engine import session_options

    options = session_options(thread_count())
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        for _ in range(WARM_UP + CALLS):
            session.run(None, {name: made_up_crops(modality, size, 1)})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    calls: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            layer = event["name"].removesuffix("_kernel_time"), event["args"]["op_name"]
            calls[layer].append(event["dur"] / 1e3)
    return {layer: sum(durations[-CALLS:]) for layer, durations in calls.items()}


def _openvino(file: Path, modality: Modality, size: tuple[int, int]) -> Times:
    import openvino

    from edge_reid.engines.openvino_engine import compile_options, kept_signal_stack

    core = openvino.Core()
    model = core.read_model(file)
    crop = made_up_crops(modality, size, 1)
    model.reshape(list(crop.shape))
    options = compile_options(streams=1) | {"PERF_COUNT": "YES"}
    with kept_signal_stack():
        request = core.compile_model(model, "CPU", options).create_infer_request()
    times: Times = defaultdict(float)
    for number in range(WARM_UP + CALLS):
        request.infer({0: crop})
        for layer in request.profiling_info if number >= WARM_UP else ():
            milliseconds = layer.real_time.total_seconds() * 1e3
            if milliseconds > 0:
                times[layer.node_name, layer.node_type] += milliseconds
    return times
