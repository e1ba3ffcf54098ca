"""The record as tables and sentences: on a terminal, as Markdown, and inside the page the cells are the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from edge_reid.benchmark.profile import shares
from edge_reid.benchmark.rows import Kind, Profile, Record, Row
from edge_reid.machine_state import describe
from edge_reid.types import MODALITIES, Modality

NOTE = (
    "Times are milliseconds of whole calls, numpy array to numpy array. Where two numbers stand, they are of visible / "
    "thermal crops; where one stands, it is of the modality where it is worse. RAM (in MB) and start (seconds to the "
    "first embedding) are of a process of its own."
)

LEAST_SHARE = 0.01
"""Of the time, of an operator that is named."""

SLOWEST = 5
"""Layers that are named."""


class Table(NamedTuple):
    """Plain text."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


Pair = dict[Modality, Row]


def tables(record: Record) -> list[Table]:
    """Speed, and what the engines cost besides."""
    return [_speed(record), _cost(record)]


def failures(record: Record) -> list[str]:
    """Why rows have no numbers, a line per engine and reason."""
    return list(dict.fromkeys(f"{row.kind}: {row.error}" for row in record.rows if row.error))


def protocols(record: Record) -> list[str]:
    """How accuracy was measured."""
    lines = list(dict.fromkeys(row.protocol for row in record.rows if row.protocol))
    compared = {row.cosine_with for row in record.rows if row.cosine_with}
    pictures = "the test pictures" if record.data else "made-up crops"
    if not compared:
        return lines
    said = f"cosine (mean, first percentile, least){', and points of change,' if record.data else ''}"
    return [f"{said[0].upper()}{said[1:]} against {min(compared)} on {pictures}.", *lines]


def machine_line(record: Record) -> str:
    """Processor and libraries."""
    return ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in record.machine.items() if value not in (None, "")
    )


def state_line(record: Record) -> str:
    """The machine's state before and after, in a line."""
    before, after = describe(record.before), describe(record.after)
    return f"Before: {before}. After: {after}."


def profile_lines(profile: Profile) -> tuple[str, str, str]:
    """A heading, the shares of the operators, and the slowest layers."""
    total = sum(layer.milliseconds for layer in profile.layers)
    heading = f"{profile.engine} {profile.precision} {profile.modality}: {total:.2f} ms in {len(profile.layers)} layers"
    kinds = ", ".join(f"{share:.0%} {name} ({count})" for name, count, share in shares(profile) if share >= LEAST_SHARE)
    slowest = ", ".join(
        f"{layer.name} ({layer.operator}) {layer.milliseconds / total:.1%}" for layer in profile.layers[:SLOWEST]
    )
    return heading, kinds, slowest


def number(value: float | None, digits: int | None = None) -> str:
    """Three significant digits, or so many after the point; nothing for None."""
    if value is None:
        return ""
    if digits is None:
        digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{digits}f}"


def _speed(record: Record) -> Table:
    columns: dict[str, Callable[[Row], str]] = {
        "p50 ms": lambda row: number(row.p50_ms),
        "p90 ms": lambda row: number(row.p90_ms),
        "p99 ms": lambda row: number(row.p99_ms),
        "mean ms": lambda row: number(row.mean_ms),
        "images/s": lambda row: number(row.images_per_second, 0),
        "GPU ms": lambda row: number(row.device_ms),
        "copies ms": lambda row: number(row.copy_ms),
    }
    if not any(row.device_ms is not None for row in record.rows):
        del columns["GPU ms"], columns["copies ms"]
    rows = []
    for batch in record.batches:
        for kind, pair in sorted(_pairs(record, batch).items(), key=lambda one: _both(one[1])):
            state = "failed" if any(row.error for row in pair.values()) else "ok"
            rows.append([str(kind), str(batch), *(_paired(pair, cell) for cell in columns.values()), state])
    return Table("Speed", ("engine", "batch", *columns, "status"), rows)


def _cost(record: Record) -> Table:
    columns: dict[str, Callable[[Pair], str]] = {
        "MB": lambda pair: _worst(pair, lambda row: _scaled(row.file_bytes, 1e-6), 2),
        "RAM": lambda pair: _worst(pair, lambda row: _scaled(row.peak_bytes, 1e-6), 0),
        "start": lambda pair: _worst(pair, lambda row: row.cold_start_seconds, 2),
        "cosine": lambda pair: _worst(pair, lambda row: row.cosine_mean, 4, min),
        "1 %": lambda pair: _worst(pair, lambda row: row.cosine_p01, 4, min),
        "least": lambda pair: _worst(pair, lambda row: row.cosine_minimum, 4, min),
    }
    if record.data:
        columns |= {
            "rank-1 %, points": lambda pair: _paired(pair, lambda row: _changed(row.rank1, row.rank1_change)),
            "mAP %, points": lambda pair: _paired(pair, lambda row: _changed(row.mean_ap, row.mean_ap_change)),
        }
    pairs = _pairs(record, record.batches[0])
    rows = [[str(kind), *(cell(pair) for cell in columns.values())] for kind, pair in pairs.items()]
    return Table("Accuracy, size and start", ("engine", *columns), rows)


def _pairs(record: Record, batch: int) -> dict[Kind, Pair]:
    pairs: dict[Kind, Pair] = {}
    for row in record.rows:
        if row.batch == batch:
            pairs.setdefault(row.kind, {})[row.modality] = row
    return pairs


def _both(pair: Pair) -> float:
    """For the order: failed ones come last."""
    return sum(float("inf") if row.p50_ms is None else row.p50_ms for row in pair.values())


def _paired(pair: Pair, cell: Callable[[Row], str]) -> str:
    cells = [cell(pair[modality]) for modality in MODALITIES if modality in pair]
    return " / ".join(cells) if any(cells) else ""


def _worst(
    pair: Pair,
    value: Callable[[Row], float | None],
    digits: int,
    worst: Callable[[list[float]], float] = max,
) -> str:
    values = [one for row in pair.values() if (one := value(row)) is not None]
    return number(worst(values), digits) if values else ""


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else factor * value


def _changed(share: float | None, points: float | None) -> str:
    """A percentage and how far it is from FP32's."""
    change = "" if points is None else f" {points:+.1f}".replace("-0.0", "+0.0")
    return "" if share is None else f"{100 * share:.1f}{change}"
