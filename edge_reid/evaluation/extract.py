"""From pictures on disk to embeddings, whatever computes them. Shapes: N pictures, H x W the crops, D the embedding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_reid.preprocess import read_crop
from edge_reid.progress import Update
from edge_reid.types import Embed, Sample


def extract(
    samples: Sequence[Sample],
    embed: Embed,
    size: tuple[int, int],
    *,
    batch: int = 64,
    progress: Update | None = None,
) -> NDArray[np.float32]:
    """The embeddings of pictures of one modality, `(N, D)`, in the order of `samples`.

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
    embeddings = []
    for start in range(0, len(samples), batch):
        chunk = samples[start : start + batch]
        embeddings.append(embed(np.stack([read_crop(sample.path, sample.modality, size) for sample in chunk])))
        if progress is not None:
            progress(start + len(chunk), len(samples))
    return np.concatenate(embeddings)
