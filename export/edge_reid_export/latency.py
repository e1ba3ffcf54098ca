"""How long a crop takes in onnxruntime on this machine: for decisions on the way; `edge-reid benchmark` says more."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from edge_reid.engines.agreement import made_up_crops
from edge_reid.engines.base import thread_count
from edge_reid.models.two_stream import TwoStream
from edge_reid.types import MODALITIES, Modality
from edge_reid_export.fold import FoldedBranch
from edge_reid_export.onnx_graph import write_graph

TURNS, CALLS = 8, 10
"""Calls of a turn that count; the first two of each do not, for another session's threads were awake until then."""


def milliseconds(graphs: Mapping[Modality, Path]) -> dict[Modality, float]:
    """The median of a crop through each graph; they take turns, so that other load meets them alike."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count()
    sessions = {m: onnxruntime.InferenceSession(str(path), options) for m, path in graphs.items()}
    seconds: dict[Modality, list[float]] = {modality: [] for modality in graphs}
    for _ in range(TURNS):
        for modality, session in sessions.items():
            taken = session.get_inputs()[0]
            crops = made_up_crops(modality, (taken.shape[1], taken.shape[2]), 1)
            for call in range(CALLS + 2):
                began = time.perf_counter()
                session.run(None, {taken.name: crops})
                if call >= 2:
                    seconds[modality].append(time.perf_counter() - began)
    return {modality: 1e3 * float(np.median(taken)) for modality, taken in seconds.items()}


def network_milliseconds(network: TwoStream, size: tuple[int, int]) -> tuple[float, float]:
    """A crop of (H, W), visible and thermal, through a network as it would be deployed in FP32."""
    with tempfile.TemporaryDirectory() as scratch:
        graphs: dict[Modality, Path] = {modality: Path(scratch) / f"{modality}.onnx" for modality in MODALITIES}
        for modality, path in graphs.items():
            crops = torch.from_numpy(made_up_crops(modality, size, 2))
            write_graph(FoldedBranch(network.branch(modality), modality, size), crops, path, {})
        medians = milliseconds(graphs)
    return medians["visible"], medians["thermal"]
