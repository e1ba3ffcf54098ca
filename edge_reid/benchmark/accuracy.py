"""How good every engine is: against PyTorch picture by picture, and at finding people.

Shapes: N pictures, D the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_reid.benchmark.rows import Kind, Row
from edge_reid.data.folder import FolderDataset
from edge_reid.engines import Engine
from edge_reid.engines.agreement import made_up_crops
from edge_reid.evaluation import Embedded, both_directions, extract
from edge_reid.types import MODALITIES, Modality, Sample

Key = tuple[Kind, Modality]

COMPARED = 32
"""Made-up crops whose embeddings are compared with PyTorch's where there is no data folder."""

REFERENCES = (Kind("torch", "fp32"), Kind("onnxruntime", "fp32"))
"""What the others are compared with: the first of these that opens."""


def embed_all(
    engines: Mapping[Key, Engine], size: tuple[int, int], dataset: FolderDataset | None
) -> dict[Key, Embedded]:
    """What each engine makes of the test pictures; without a data folder, of made-up crops.

    Every picture is read once, and no more than two batches of them are in memory.
    """
    embedded: dict[Key, Embedded] = {}
    for modality in MODALITIES:
        those = [key for key in engines if key[1] == modality]

        def together(some: NDArray[np.uint8], those: list[Key] = those) -> NDArray[np.float32]:
            return np.concatenate([engines[key].embed(some) for key in those], axis=1)

        if not those:
            continue
        if dataset:
            samples = dataset.query(modality)
            joined = extract(samples, together, size)
        else:
            samples = [Sample(Path(), identity, 0, modality) for identity in range(COMPARED)]
            joined = together(made_up_crops(modality, size, COMPARED))
        parts = np.split(joined, np.cumsum([engines[key].embedding_dim for key in those])[:-1], axis=1)
        embedded |= {key: Embedded(samples, np.ascontiguousarray(part)) for key, part in zip(those, parts, strict=True)}
    return embedded


def with_cosines(rows: Mapping[Key, Row], embedded: Mapping[Key, Embedded]) -> dict[Key, Row]:
    """Compare all engines with PyTorch; on a device without it, with ONNX Runtime's FP32."""
    compared = dict(rows)
    for key, own in embedded.items():
        found = [(kind, embedded[kind, key[1]]) for kind in REFERENCES if (kind, key[1]) in embedded]
        if found:
            kind, reference = found[0]
            cosines = (own.embeddings * reference.embeddings).sum(axis=1, dtype=np.float64)
            compared[key] = rows[key].model_copy(
                update={
                    "cosine_mean": float(cosines.mean()),
                    "cosine_p01": float(np.percentile(cosines, 1)),
                    "cosine_minimum": float(cosines.min()),
                    "cosine_with": str(kind),
                }
            )
    return compared


def with_ranks(rows: Mapping[Key, Row], embedded: Mapping[Key, Embedded], data: str) -> dict[Key, Row]:
    """Rank with both modalities' engines of one kind, where both opened, and compare with FP32."""
    measured = dict(rows)
    for kind in dict.fromkeys(key[0] for key in embedded):
        keys: dict[Modality, Key] = {modality: (kind, modality) for modality in MODALITIES}
        if all(key in embedded for key in keys.values()):
            for result in both_directions(embedded[keys["visible"]], embedded[keys["thermal"]], data=data):
                key = keys[result.query_modality]
                ranks = {"rank1": result.rank1, "mean_ap": result.mean_ap, "protocol": result.protocol}
                measured[key] = measured[key].model_copy(update=ranks)
    return {key: _with_change(row, measured) for key, row in measured.items()}


def _with_change(row: Row, rows: Mapping[Key, Row]) -> Row:
    """Percentage points against the first reference that is there."""
    full = next((rows[kind, row.modality] for kind in REFERENCES if (kind, row.modality) in rows), None)
    if full is None or full.rank1 is None or full.mean_ap is None or row.rank1 is None or row.mean_ap is None:
        return row
    changes = {"rank1_change": row.rank1 - full.rank1, "mean_ap_change": row.mean_ap - full.mean_ap}
    return row.model_copy(update={name: 100 * change for name, change in changes.items()})
