"""Rows and records with numbers that are easy to reckon with."""

from __future__ import annotations

from typing import Any

from edge_reid.benchmark.rows import BundleFacts, Record, Row
from edge_reid.bundle import Precision
from edge_reid.machine_state import MachineState
from edge_reid.types import MODALITIES

FACTS = BundleFacts(path="b", manifest_sha256="0", recipe="r", input_size=(64, 32), embedding_dim=8)


def rows(engine: str, precision: Precision, *milliseconds: float, batch: int = 1, **more: Any) -> list[Row]:
    """A visible and a thermal row, both with the one or each with one of the two medians."""
    medians = dict(zip(MODALITIES, (milliseconds * 2)[:2], strict=True))
    facts: dict[str, Any] = {"cosine_mean": 1.0, "cosine_minimum": 1.0, "settled": True} | more
    return [
        Row(engine=engine, precision=precision, modality=modality, batch=batch, p50_ms=median, p90_ms=median, **facts)
        for modality, median in medians.items()
    ]


def ranked(engine: str, precision: Precision, milliseconds: float, points: float, **more: Any) -> list[Row]:
    """Rows whose rank-1 is `points` from FP32's 60 %."""
    ranks = {"rank1": 0.6 + points / 100, "mean_ap": 0.7, "rank1_change": points, "mean_ap_change": 0.0}
    return rows(engine, precision, milliseconds, **ranks, protocol="so and so", **more)


def record(measured: list[Row], **more: Any) -> Record:
    """A record of these rows on a machine called alpha."""
    facts: dict[str, Any] = {
        "date": "2030-01-01T00:00:00+00:00", "command": "edge-reid benchmark b", "edge_reid": "0", "bundle": FACTS,
        "data": "people", "seconds": 1.0, "batches": list(dict.fromkeys(row.batch for row in measured)),
        "machine": {"processor": "alpha", "board": None, "threads": 2, "system": "Linux", "onnxruntime": "1.0"},
        "before": MachineState(), "after": MachineState(), "warnings": [], "rows": measured, "advice": [],
        "choice": None, "verdict": "Use it.",
    }  # fmt: skip
    return Record(**facts | more)
