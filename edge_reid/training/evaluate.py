"""Ranks the people of a data set with a checkpoint.

Shapes: B crops, D the embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edge_reid.data.folder import FolderDataset
from edge_reid.data.regdb import RegDb
from edge_reid.data.sets import ReidData
from edge_reid.errors import UserError
from edge_reid.evaluation import Evaluation, answer, extract
from edge_reid.evaluation.baselines import raw_pixels, silhouettes
from edge_reid.evaluation.plots import ranking_sheet
from edge_reid.models.two_stream import TwoStream
from edge_reid.progress import Update
from edge_reid.training.checkpoint import build_from_config, load_model, trained_on
from edge_reid.training.device import choose_device
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
) -> NDArray[np.float32]:
    """The embeddings of pictures of one modality, `(N, D)`."""
    return extract(samples, embedder(model, samples[0].modality), size, progress=progress)


def evaluate_checkpoint(
    checkpoint: Path,
    data: ReidData,
    *,
    device: str | None = None,
    sheet: Path | None = None,
    progress: Update | None = None,
) -> list[Evaluation]:
    """Run all searches of a data set with a checkpoint.

    Args:
        checkpoint: a last.pt or model.safetensors.
        data: the people.
        device: where to embed, None for CUDA if there is one, else the CPU.
        sheet: where to write a picture of some rankings, None for nowhere.
        progress: called with (pictures done, pictures in all) of each modality.

    Raises:
        UserError: the checkpoint or the data cannot be used, or the checkpoint was trained on another split of RegDB.
    """
    loaded = load_model(checkpoint)
    others = [learnt for learnt in trained_on(loaded.provenance) if learnt != data.label]
    leaks = [learnt for learnt in others if str(learnt).startswith("RegDB split")]
    if isinstance(data, RegDb) and leaks:
        raise UserError(
            f"{checkpoint}: was trained on {leaks[0]}, which holds most test people of {data.label}; "
            f"choose --split {str(leaks[0]).split()[-1]} or train on this split alone"
        )
    model = loaded.model.to(choose_device(device))
    searches = data.searches()
    evaluations = answer(searches, lambda samples: embed_samples(model, samples, loaded.size, progress))
    if sheet is not None:
        ranking_sheet(sheet, searches, lambda samples: embed_samples(model, samples, loaded.size))
    return evaluations


def rank_baselines(checkpoint: Path, data: ReidData) -> dict[str, list[Evaluation]]:
    """What the same searches give without training: raw pixels, silhouettes, the checkpoint's untrained network."""
    searches = data.searches()
    answers = {"raw pixels": answer(searches, raw_pixels, feature="pixels")}
    if isinstance(data, FolderDataset):
        find = labels.path if (labels := data.part_labels()) else lambda sample: None
        maps = {sample: find(sample) for modality in MODALITIES for sample in data.query(modality)}
        known = {sample: path for sample, path in maps.items() if path is not None}
        if len(known) == len(maps):
            answers["silhouettes"] = answer(
                searches, lambda samples: silhouettes([known[sample] for sample in samples]), feature="outlines"
            )
    loaded = load_model(checkpoint)
    torch.manual_seed(0)
    untrained = build_from_config(loaded.recipe, loaded.config).eval()
    answers["untrained network"] = answer(searches, lambda samples: embed_samples(untrained, samples, loaded.size))
    return answers
