"""What the rows mean: whether fewer bits are worth it, and which engine and precision to use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from edge_reid.benchmark.rivals import PLAIN
from edge_reid.benchmark.rows import Kind, Row
from edge_reid.bundle import Manifest, Precision
from edge_reid.types import MODALITIES, MOST_LOST, Modality

WORTH, WORTH_FOR_NOTHING = 1.1, 1.02
"""How many times as fast as FP32 fewer bits must be: where they cost accuracy, and where they cost none."""

BITS: dict[Precision, int] = {"fp32": 32, "fp16": 16, "int8": 8}

EAGER = Kind("torch", "fp32")

LEAST_LOSS = 0.05
"""Points that count as a loss: less is rounded to none."""

ALIKE = 0.9
"""Mean cosine with FP32 from which a graph computes here what it computed where its accuracy was measured."""

EXACT = 0.999
"""Least cosine with PyTorch of an engine that computes in FP32."""

Losses = Mapping[Kind, float | None]
"""Points of rank-1 or mAP that each kind costs against FP32, in the direction where it is most; None: nobody knows."""


class Times(NamedTuple):
    """Median milliseconds of one kind at one batch size."""

    kind: Kind
    ms: dict[Modality, float]

    @property
    def both(self) -> float:
        """A crop of either camera, one after the other."""
        return sum(self.ms.values())


def losses(rows: Sequence[Row], manifest: Manifest) -> dict[Kind, float | None]:
    """From the rows where a data folder was given, else from what the export measured."""
    return {kind: _loss([row for row in rows if row.kind == kind], manifest) for kind in _kinds(rows)}


def _loss(rows: Sequence[Row], manifest: Manifest) -> float | None:
    lost = [-change for row in rows for change in (row.rank1_change, row.mean_ap_change) if change is not None]
    if lost:
        return max(lost)
    cosines = [row for row in rows if row.cosine_mean is not None and row.cosine_minimum is not None]
    precision = rows[0].precision
    if precision == "fp32":
        return 0.0 if cosines and all((row.cosine_minimum or 0) >= EXACT for row in cosines) else None
    if not cosines or any((row.cosine_mean or 0) < ALIKE for row in cosines):
        return None
    full = [one for one in manifest.accuracy if one.precision == "fp32"]
    light = [one for one in manifest.accuracy if one.precision == precision]
    points = [
        100 * max(before.rank1 - after.rank1, before.mean_ap - after.mean_ap)
        for one in light
        for before, after in zip(full[0].results, one.results, strict=True)
    ]
    return max(points) if points else None


def advice(rows: Sequence[Row], lost: Losses) -> list[str]:
    """A line per engine, fewer bits, and batch: how much faster than FP32 (FP16 where the engine has no FP32), at what
    cost, and whether it is worth it.
    """
    lines = []
    for kind in _kinds(rows):
        for batch in dict.fromkeys(row.batch for row in rows):
            light = times(rows, batch, kind)
            wider = [times(rows, batch, Kind(kind.engine, one)) for one in BITS if BITS[one] > BITS[kind.precision]]
            full = next((one for one in wider if one and light and one.ms.keys() == light.ms.keys()), None)
            if light and full:
                ratio = full.both / light.both
                faster = f"{ratio:.2f} times as fast as {full.kind.precision.upper()} on this machine"
                name = f"{kind.engine} {kind.precision.upper()}, batch {batch}"
                lines.append(f"{name}: {faster} {_upshot(ratio, lost[kind])}")
    return lines


def _upshot(ratio: float, loss: float | None) -> str:
    verdict = "worth it" if is_worth(ratio, loss) else "not worth it"
    if loss is None:
        return "at a cost in accuracy that is not known (give --data): not to be trusted"
    if loss > MOST_LOST:
        return f"and costs {loss:.1f} points, more than {MOST_LOST:g}: not worth it"
    return f"and costs {loss:.1f} points: {verdict}" if loss >= LEAST_LOSS else f"and costs no accuracy: {verdict}"


def is_worth(ratio: float, loss: float | None) -> bool:
    """Whether fewer bits that are `ratio` times as fast as FP32 and cost `loss` points should be used."""
    return loss is not None and loss <= MOST_LOST and ratio >= (WORTH if loss >= LEAST_LOSS else WORTH_FOR_NOTHING)


def times(rows: Sequence[Row], batch: int, kind: Kind) -> Times | None:
    """The medians of one kind, None where none was measured."""
    ms = {
        row.modality: row.p50_ms for row in rows if row.kind == kind and row.batch == batch and row.p50_ms is not None
    }
    return Times(kind, ms) if ms else None


def pick(rows: Sequence[Row], lost: Losses) -> tuple[Times | None, str]:
    """The fastest kind for one crop at a time whose accuracy is within the gate, and a sentence about it.

    Fewer bits must be worth it against the fastest engine with more of them. PyTorch and the rivals are only compared
    with; none is picked if the plain ONNX export is faster than all.
    """
    pool = [
        one
        for kind in _kinds(rows)
        if kind.engine not in ("torch", *_rivals(rows)) and (points := lost[kind]) is not None and points <= MOST_LOST
        if (one := times(rows, 1, kind)) and len(one.ms) == len(MODALITIES)
    ]
    if not pool:
        return None, "No choice: no engine ran both modalities at batch 1 with an accuracy within the gate."
    fastest = best = min(pool, key=lambda one: one.both)
    while full := _fastest_with_more_bits(pool, best):
        if is_worth(full.both / best.both, lost[best.kind]):
            break
        best = full
    plain = times(rows, 1, Kind(PLAIN, "fp32"))
    if plain and len(plain.ms) == len(MODALITIES):
        if plain.both < best.both:
            best = fastest
        if plain.both < best.both:
            return None, (
                f"No choice: the plain ONNX export takes {plain.both:.2f} ms for a crop of either camera, and the "
                f"bundle's fastest, {best.kind}, {best.both:.2f} ms; please report this with the record."
            )
    return best, _reason(best, pool, rows, lost)


def _fastest_with_more_bits(pool: Sequence[Times], than: Times) -> Times | None:
    wider = [one for one in pool if BITS[one.kind.precision] > BITS[than.kind.precision]]
    return min(wider, key=lambda one: one.both, default=None)


def _reason(best: Times, pool: Sequence[Times], rows: Sequence[Row], lost: Losses) -> str:
    medians = ", ".join(f"{ms:.2f} ms {modality}" for modality, ms in best.ms.items())
    others = [one for kind in (EAGER, *_rival_kinds(rows)) if (one := times(rows, 1, kind))]
    others += [one for one in pool if one.kind.precision == "fp32" and one.kind != best.kind]
    compared = [
        f"{one.both / best.both:.2f} times as fast as {one.kind}" for one in others if one.ms.keys() == best.ms.keys()
    ]
    cost = f", costs {lost[best.kind]:.1f} points" if (lost[best.kind] or 0) >= LEAST_LOSS else ""
    said = f"For one crop at a time use {best.kind} ({medians}{cost}){': ' if compared else ''}{', '.join(compared)}."
    fastest = min(pool, key=lambda one: one.both)
    if fastest.both < best.both:
        said += f" {fastest.kind} is {best.both / fastest.both:.2f} times as fast {_upshot(1.0, lost[fastest.kind])}."
    return said


def _kinds(rows: Sequence[Row]) -> list[Kind]:
    return list(dict.fromkeys(row.kind for row in rows))


def _rival_kinds(rows: Sequence[Row]) -> list[Kind]:
    return list(dict.fromkeys(row.kind for row in rows if row.rival))


def _rivals(rows: Sequence[Row]) -> list[str]:
    return [kind.engine for kind in _rival_kinds(rows)]
