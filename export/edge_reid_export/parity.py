"""Whether a written graph computes what PyTorch computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from edge_reid.errors import CheckFailed

BATCHES = (1, 3, 8)

MOST_DIFFERENCE = 1e-4
"""Between two components of unit vectors; float32 gives about 2e-7."""

LEAST_COSINE = 0.99999


def check_parity(branch: nn.Module, path: Path, crops: NDArray[np.uint8]) -> None:
    """Run both on 1, 3 and 8 of `crops` (8 or more).

    Raises:
        CheckFailed: an embedding differs.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch in BATCHES:
        with torch.inference_mode():
            expected = branch(torch.from_numpy(crops[:batch])).numpy()
        got = session.run(None, {session.get_inputs()[0].name: crops[:batch]})[0]
        difference = float(np.abs(got - expected).max()) if got.shape == expected.shape else np.inf
        cosine = float((got * expected).sum(axis=1).min()) if got.shape == expected.shape else 0.0
        if not (difference <= MOST_DIFFERENCE and cosine >= LEAST_COSINE):
            raise CheckFailed(
                f"{path.name}: at batch {batch} it is off PyTorch by {difference:.2g} (at most {MOST_DIFFERENCE:g})"
                f" and cosine {cosine:.6f} (at least {LEAST_COSINE}); report this with the checkpoint"
            )
