"""From pictures on disk to embeddings, whatever computes them. Shapes: N pictures, H x W the crops, D the embedding."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from edge_reid.preprocess import read_crop
from edge_reid.progress import Update
from edge_reid.types import Embed, Sample

READERS = 4
"""Threads that decode pictures; OpenCV works outside of Python's lock."""


def extract(
    samples: Sequence[Sample],
    embed: Embed,
    size: tuple[int, int],
    *,
    batch: int = 64,
    progress: Update | None = None,
) -> NDArray[np.float32]:
    """The embeddings of pictures of one modality, `(N, D)`, in the order of `samples`.

    While a batch is embedded, the next one is read; no more than two are in memory.

    Args:
        samples: one or more pictures, all of one modality.
        embed: the network, or an engine's `embed`.
        size: (H, W) of its crops.
        batch: pictures per call.
        progress: called after each batch with the numbers of pictures done and in all.

    Raises:
        ValueError: no picture, or pictures of both modalities.
        UserError: a picture cannot be read.
    """
    if len({sample.modality for sample in samples}) != 1:
        raise ValueError(f"{len(samples)} pictures of one modality expected, got both modalities or none")
    embeddings: list[NDArray[np.float32]] = []
    with ThreadPoolExecutor(READERS) as pool:

        def read(start: int) -> list[Future[NDArray[np.uint8]]]:
            chunk = samples[start : start + batch]
            return [pool.submit(read_crop, sample.path, sample.modality, size) for sample in chunk]

        coming = read(0)
        for start in range(0, len(samples), batch):
            crops = np.stack([crop.result() for crop in coming])
            coming = read(start + batch)
            embeddings.append(embed(crops))
            if progress is not None:
                progress(start + len(crops), len(samples))
    return np.concatenate(embeddings)
