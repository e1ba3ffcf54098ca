"""Ranks the people of a data folder with a checkpoint.

Shapes: B crops, D the embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edge_reid.data.folder import FolderDataset
from edge_reid.evaluation import Embedded, Evaluation, Rule, both_directions, extract
from edge_reid.evaluation.baselines import raw_pixels, silhouettes
from edge_reid.evaluation.plots import ranking_sheet
from edge_reid.models.two_stream import TwoStream
from edge_reid.progress import Update
from edge_reid.training.checkpoint import build_from_config, load_model
from edge_reid.types import MODALITIES, Embed, Modality, Sample


def embedder(model: TwoStream, modality: Modality) -> Embed:
    """A function from crops to embeddings `(B, D)` on the model's device, without gradients.

    The model must be in eval mode when it is called.
    """
    branch = model.branch(modality)
    device = next(model.parameters()).device

    def embed(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            embeddings: NDArray[np.float32] = branch(torch.from_numpy(crops).to(device)).float().cpu().numpy()
        return embeddings

    return embed


def embed_samples(
    model: TwoStream, samples: Sequence[Sample], size: tuple[int, int], progress: Update | None = None
) -> Embedded:
    """The embeddings of pictures of one modality."""
    return Embedded(samples, extract(samples, embedder(model, samples[0].modality), size, progress=progress))


Both = tuple[Evaluation, Evaluation]
"""(thermal -> visible, visible -> thermal)"""


def evaluate_checkpoint(
    checkpoint: Path,
    data: Path,
    *,
    rule: Rule = "regdb",
    trials: int = 10,
    device: str | None = None,
    sheet: Path | None = None,
    progress: Update | None = None,
) -> Both:
    """Rank the test people of a data folder in both directions, single-shot.

    Args:
        checkpoint: a last.pt or model.safetensors.
        data: a data folder.
        rule: see `edge_reid.evaluation.rank`.
        trials: gallery draws.
        device: where to embed, None for CUDA if there is one, else the CPU.
        sheet: where to write a picture of some rankings, None for nowhere.
        progress: called with (pictures done, pictures in all) of each modality.

    Raises:
        UserError: the checkpoint or the data folder cannot be used.
    """
    loaded = load_model(checkpoint)
    model = loaded.model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dataset = FolderDataset(data)
    visible, thermal = (embed_samples(model, dataset.query(modality), loaded.size, progress) for modality in MODALITIES)
    if sheet is not None:
        ranking_sheet(sheet, [(thermal, visible), (visible, thermal)])
    return both_directions(visible, thermal, rule=rule, trials=trials, data=data.resolve().name)


def rank_baselines(checkpoint: Path, data: Path, *, rule: Rule = "regdb", trials: int = 10) -> dict[str, Both]:
    """What the same protocol gives without training: raw pixels, silhouettes, the checkpoint's untrained network."""
    dataset, name = FolderDataset(data), data.resolve().name
    answers = {
        "raw pixels": both_directions(
            *(raw_pixels(dataset.query(modality)) for modality in MODALITIES),
            rule=rule, trials=trials, data=name, feature="pixels",
        )
    }  # fmt: skip
    outlines = [found for modality in MODALITIES if (found := silhouettes(dataset, modality)) is not None]
    if len(outlines) == len(MODALITIES):
        answers["silhouettes"] = both_directions(*outlines, rule=rule, trials=trials, data=name, feature="outlines")
    loaded = load_model(checkpoint)
    torch.manual_seed(0)
    untrained = build_from_config(loaded.recipe, loaded.config).eval()
    answers["untrained network"] = both_directions(
        *(embed_samples(untrained, dataset.query(modality), loaded.size) for modality in MODALITIES),
        rule=rule, trials=trials, data=name,
    )  # fmt: skip
    return answers
