"""ONNX Runtime's own format, which its builds for Android and iOS open, with the operators that such a build needs."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path

import onnxruntime

from edge_reid.engines.compiled import Compiled
from edge_reid.engines.ort_engine import NETWORK, OPERATORS
from edge_reid.errors import CheckFailed, UserError
from edge_reid.files import atomic_file
from edge_reid_export.compile import Built, Wish
from edge_reid_export.process import last_line, run_apart


def build(job: Compiled, wish: Wish) -> Built:
    """Write the network, and the list of its operators for a build of ONNX Runtime that has no others.

    Raises:
        UserError: onnx, which onnxruntime's converter needs, is not installed.
        CheckFailed: the converter ended without a network.
    """
    if importlib.util.find_spec("onnx") is None:
        raise UserError("onnx is not installed; pip install 'edge-reid[export]'")
    with tempfile.TemporaryDirectory() as scratch:
        source, out = Path(scratch) / "graph.onnx", Path(scratch) / "out"
        shutil.copyfile(job.source, source)
        words = ["--optimization_style", "Fixed", "--target_platform", "arm", "--output_dir", str(out), str(source)]
        code, _, errors = run_apart([sys.executable, "-m", "onnxruntime.tools.convert_onnx_models_to_ort", *words])
        for suffix, pattern in ((NETWORK, "*.ort"), (OPERATORS, "*.config")):
            made = list(out.glob(pattern))
            if code or not made:
                raise CheckFailed(f"{job.source}: onnxruntime's converter ended with code {code}: {last_line(errors)}")
            with atomic_file(job.path(suffix)) as temporary:
                shutil.copyfile(made[0], temporary)
    return Built([job.path(NETWORK), job.path(OPERATORS)], onnxruntime.__version__)
