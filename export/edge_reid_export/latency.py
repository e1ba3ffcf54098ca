"""How long a crop takes in onnxruntime on this machine: for decisions on the way; `edge-reid benchmark` says more.

Measured in a process of its own, `python -m edge_reid_export.latency GRAPH ...`: threads that PyTorch left waiting in
this one would be in the way.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from edge_reid.engines.agreement import made_up_crops
from edge_reid.engines.base import thread_count
from edge_reid.errors import CheckFailed
from edge_reid.types import MODALITIES, Modality
from edge_reid_export.process import last_line, run_apart

if TYPE_CHECKING:
    from edge_reid.models.two_stream import TwoStream

TURNS, CALLS = 8, 10
"""Calls of a turn that count; the first two of each do not, for another session's threads were awake until then."""


def milliseconds(graphs: Mapping[Modality, Path]) -> dict[Modality, float]:
    """The median of a crop through each graph; they take turns, so that other load meets them alike.

    Raises:
        CheckFailed: onnxruntime does not run one of them.
    """
    code, answer, errors = run_apart([sys.executable, "-m", __name__, *graphs.values()])
    if code:
        raise CheckFailed(f"{', '.join(map(str, graphs.values()))}: not measured: {last_line(errors)}")
    return dict(zip(graphs, json.loads(answer), strict=True))


def network_milliseconds(network: TwoStream, size: tuple[int, int]) -> tuple[float, float]:
    """A crop of (H, W), visible and thermal, through a network as it would be deployed in FP32."""
    import torch

    from edge_reid_export.fold import FoldedBranch
    from edge_reid_export.onnx_graph import write_graph

    with tempfile.TemporaryDirectory() as scratch:
        graphs: dict[Modality, Path] = {modality: Path(scratch) / f"{modality}.onnx" for modality in MODALITIES}
        for modality, path in graphs.items():
            crops = torch.from_numpy(made_up_crops(modality, size, 2))
            write_graph(FoldedBranch(network.branch(modality), modality, size), crops, path, {})
        medians = milliseconds(graphs)
    return medians["visible"], medians["thermal"]


def _medians(paths: Sequence[str]) -> list[float]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count()
    sessions = [onnxruntime.InferenceSession(path, options) for path in paths]
    seconds: list[list[float]] = [[] for _ in sessions]
    for _ in range(TURNS):
        for session, taken in zip(sessions, seconds, strict=True):
            source = session.get_inputs()[0]
            modality: Modality = "visible" if len(source.shape) == 4 else "thermal"
            crops = made_up_crops(modality, (source.shape[1], source.shape[2]), 1)
            for call in range(CALLS + 2):
                began = time.perf_counter()
                session.run(None, {source.name: crops})
                if call >= 2:
                    taken.append(time.perf_counter() - began)
    return [1e3 * float(np.median(taken)) for taken in seconds]


if __name__ == "__main__":
    print(json.dumps(_medians(sys.argv[1:])))
