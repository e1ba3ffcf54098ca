"""Whether an engine computes what the bundle's FP32 graph does, on crops that need no data.

Shapes: N crops of H x W pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_reid.bundle import Precision
from edge_reid.engines.base import Engine
from edge_reid.types import Modality

CROPS = 8

BLOCKS = (8, 4)
"""Of one colour each, down and across a crop."""

LEAST_COSINE: dict[Precision, float] = {"fp32": 0.9999, "fp16": 0.999, "int8": 0.9}
"""Between the embeddings of one crop."""


def made_up_crops(modality: Modality, size: tuple[int, int], count: int = CROPS) -> NDArray[np.uint8]:
    """Blocks of random colours, `(N, H, W, 3)` or `(N, H, W)`, always the same ones.

    No picture, but as smooth and as bright as one, so that an INT8 graph meets values within its ranges.
    """
    planes = (3,) if modality == "visible" else ()
    blocks = np.random.default_rng(0).integers(64, 192, (count, *BLOCKS, *planes), dtype=np.uint8)
    rows, columns = (np.arange(pixels) * number // pixels for pixels, number in zip(size, BLOCKS, strict=True))
    return np.ascontiguousarray(blocks[:, rows][:, :, columns])


def least_cosine(engine: Engine, reference: Engine, size: tuple[int, int]) -> float:
    """The least cosine between what two engines of one modality make of the same made-up crops."""
    crops = made_up_crops(engine.modality, size)
    return float((engine.embed(crops) * reference.embed(crops)).sum(axis=1).min())
