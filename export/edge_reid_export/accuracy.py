"""What INT8 costs in accuracy, and whether that is too much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edge_reid.bundle import Accuracy, Cosines, Manifest, Precision, Result
from edge_reid.data.folder import FolderDataset
from edge_reid.engines.onnxruntime_engine import open_engine
from edge_reid.evaluation import Embedded, both_directions, extract
from edge_reid.types import MODALITIES, MOST_LOST, Modality

_METRICS = {"rank1": "rank-1", "mean_ap": "mAP"}


class Gate(NamedTuple):
    """What fewer bits may cost."""

    points: float = MOST_LOST
    cosine: float = 0.98
    """What all but a hundredth of the embeddings must reach with those in float32."""
    force: bool = False
    """Write the bundle even if they cost more, and mark it."""


class Measured(NamedTuple):
    """What the graphs of both modalities do with the test people."""

    embedded: dict[Modality, Embedded]
    accuracy: Accuracy
    short: list[str]
    """Where the gate is missed, a line each."""


class Judge:
    """Measures graphs against the float32 ones, on the test people of a data folder."""

    def __init__(self, manifest: Manifest, exact: Mapping[Modality, Path], dataset: FolderDataset, gate: Gate) -> None:
        self.manifest, self.dataset, self.gate = manifest, dataset, gate
        embedded = self._embed(exact, "fp32")
        results = _results(embedded, dataset)
        self.exact = Measured(embedded, Accuracy(target=None, precision="fp32", results=results, cosines={}), [])

    def measure(self, target: str, precision: Precision, graphs: Mapping[Modality, Path]) -> Measured:
        """Files, whatever backend they are for; a modality without one is embedded as in float32."""
        embedded = self.exact.embedded | self._embed(graphs, precision)
        results = _results(embedded, self.dataset)
        cosines = {modality: _cosines(self.exact.embedded[modality], embedded[modality]) for modality in MODALITIES}
        lost = shortfalls(self.exact.accuracy.results, results, self.gate.points)
        turned = [
            f"one in a hundred {modality} embeddings is below cosine {one.percentile1:.3f} with FP32"
            for modality, one in cosines.items()
            if one.percentile1 < self.gate.cosine
        ]
        accuracy = Accuracy(target=target, precision=precision, results=results, cosines=cosines)
        return Measured(embedded, accuracy, [f"{target} {precision}: {line}" for line in [*lost, *turned]])

    def _embed(self, graphs: Mapping[Modality, Path], precision: Precision) -> dict[Modality, Embedded]:
        embedded: dict[Modality, Embedded] = {}
        for modality, file in graphs.items():
            engine = open_engine(self.manifest, file, modality, precision, "cpu")
            samples = self.dataset.query(modality)
            embedded[modality] = Embedded(samples, extract(samples, engine.embed, self.manifest.input_size))
            engine.close()
        return embedded


def _results(embedded: Mapping[Modality, Embedded], dataset: FolderDataset) -> list[Result]:
    """Thermal to visible, and visible to thermal."""
    evaluations = both_directions(embedded["visible"], embedded["thermal"], data=f"{dataset.label}, test")
    known = set(Result.model_fields)
    return [Result(**{k: v for k, v in asdict(evaluation).items() if k in known}) for evaluation in evaluations]


def _cosines(first: Embedded, second: Embedded) -> Cosines:
    cosines = (first.embeddings * second.embeddings).sum(axis=1)
    return Cosines(mean=float(cosines.mean()), percentile1=float(np.percentile(cosines, 1)))


def shortfalls(before: Sequence[Result], after: Sequence[Result], points: float) -> list[str]:
    """Where more than `points` percentage points were lost; empty if the gate is passed."""
    lines = []
    for (old, new), (field, name) in product(zip(before, after, strict=True), _METRICS.items()):
        lost = 100 * (getattr(old, field) - getattr(new, field))
        if lost > points + 1e-9:
            lines.append(f"{name} {old.query_modality} to {old.gallery_modality} lost {lost:.2f} points")
    return lines
