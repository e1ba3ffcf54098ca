"""What INT8 costs in accuracy, whether that is too much, and from which cosine on two people count as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import product

import numpy as np

from edge_reid.bundle import Bundle, MatchRates, Precision, Result
from edge_reid.data.folder import FolderDataset
from edge_reid.engines.onnxruntime_engine import open_engine
from edge_reid.errors import UserError
from edge_reid.evaluation import Embedded, both_directions, extract
from edge_reid.types import MODALITIES, Modality

_METRICS = {"rank1": "rank-1", "mean_ap": "mAP"}


def embed_test(bundle: Bundle, dataset: FolderDataset, backend: str, precision: Precision) -> dict[Modality, Embedded]:
    """The test pictures of both modalities through the bundle's own graphs, whatever backend they are for."""
    embedded: dict[Modality, Embedded] = {}
    for modality in MODALITIES:
        file = bundle.file(modality, backend, precision)
        engine = open_engine(bundle.manifest, file, modality, precision, "cpu")
        samples = dataset.query(modality)
        embedded[modality] = Embedded(samples, extract(samples, engine.embed, bundle.manifest.input_size))
        engine.close()
    return embedded


def results(embedded: dict[Modality, Embedded], data: str) -> list[Result]:
    """Thermal to visible, and visible to thermal."""
    evaluations = both_directions(embedded["visible"], embedded["thermal"], data=data)
    known = set(Result.model_fields)
    return [Result(**{k: v for k, v in asdict(evaluation).items() if k in known}) for evaluation in evaluations]


def shortfalls(before: Sequence[Result], after: Sequence[Result], points: float) -> list[str]:
    """Where more than `points` percentage points were lost; empty if the gate is passed."""
    lines = []
    for (old, new), (field, name) in product(zip(before, after, strict=True), _METRICS.items()):
        lost = 100 * (getattr(old, field) - getattr(new, field))
        if lost > points + 1e-9:
            lines.append(f"{name} {old.query_modality} to {old.gallery_modality} lost {lost:.2f} points")
    return lines


def match_threshold(embedded: dict[Modality, Embedded], precision: Precision) -> tuple[float, MatchRates]:
    """The cosine of the equal error rate: as many couples of two people pass as couples of one person fail.

    One picture each. The app chooses the best of several couples several times before it believes one, so that a
    stricter threshold would mostly cost it people.

    Raises:
        UserError: there are not two people to tell apart.
    """
    visible, thermal = embedded["visible"], embedded["thermal"]
    scores = visible.embeddings @ thermal.embeddings.T
    same = visible.identities()[:, None] == thermal.identities()[None, :]
    genuine, impostors = np.sort(scores[same]), np.sort(scores[~same])
    if not len(genuine) or not len(impostors):
        raise UserError("--calibration: the match threshold needs two test people or more, seen by both modalities")
    failing = np.arange(len(genuine)) / len(genuine)
    passing = 1 - np.searchsorted(impostors, genuine) / len(impostors)
    equal = int(np.abs(failing - passing).argmin())
    rates = MatchRates(
        precision=precision,
        false_accept_rate=float(passing[equal]),
        true_accept_rate=float(1 - failing[equal]),
    )
    return float(genuine[equal]), rates
