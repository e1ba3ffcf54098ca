"""Latency against accuracy, with the front of those that nothing beats in both."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from edge_reid.benchmark.rows import Kind, Record
from edge_reid.benchmark.verdict import times
from edge_reid.bundle import Precision
from edge_reid.types import MODALITIES

_MARKERS: dict[Precision, str] = {"fp32": "o", "fp16": "s", "int8": "^"}


class Point(NamedTuple):
    """One engine and precision at batch 1, mean of both modalities."""

    kind: Kind
    milliseconds: float
    accuracy: float
    """Larger is better."""


def points(record: Record) -> tuple[list[Point], str, float]:
    """One per kind that was timed with one crop and compared; what their accuracy is, and the least span to show."""
    found = []
    for kind in dict.fromkeys(row.kind for row in record.rows):
        rows = [row for row in record.rows if row.kind == kind and row.batch == 1]
        values = [100 * row.rank1 if row.rank1 is not None else row.cosine_p01 for row in rows]
        known = [value for value in values if value is not None]
        timed = times(rows, 1, kind)
        if timed and len(known) == len(timed.ms) == len(MODALITIES):
            found.append(Point(kind, timed.both / len(MODALITIES), sum(known) / len(known)))
    if any(row.rank1 is not None for row in record.rows):
        return found, "rank-1, %, mean of both directions", 4.0
    return found, "cosine with FP32, first percentile", 0.02


def pareto_front(candidates: Sequence[Point]) -> list[Point]:
    """Those that no other beats: none is at least as fast and as accurate and better in one; fastest first."""
    front: list[Point] = []
    for point in sorted(candidates, key=lambda one: (one.milliseconds, -one.accuracy)):
        if not front or point.accuracy > front[-1].accuracy or point[1:] == front[-1][1:]:
            front.append(point)
    return front


def plot(record: Record) -> str | None:
    """An SVG; None where nothing was timed with one crop."""
    from matplotlib.ticker import LogLocator, NullLocator

    from edge_reid.charts import ACCENT, INK, SOFT, WARM, figure, svg

    found, accuracy, span = points(record)
    if not found:
        return None
    front = pareto_front(found)
    picture, axes = figure(9.6, 4.0)
    axes.plot(
        [point.milliseconds for point in front], [point.accuracy for point in front],
        color=INK, linewidth=1, linestyle=":", drawstyle="steps-post", zorder=1, label="Pareto front",
    )  # fmt: skip
    engines = list(dict.fromkeys(point.kind.engine for point in found))
    colors = dict(zip(engines, itertools.cycle((SOFT, ACCENT, WARM, INK, "#5a9e6f", "#8a63b5")), strict=False))
    for point in found:
        axes.scatter(
            [point.milliseconds], [point.accuracy], s=90, marker=_MARKERS[point.kind.precision], zorder=2,
            color=colors[point.kind.engine], edgecolors=INK if point in front else "none", linewidths=1.4,
            label=f"{point.kind}: {point.milliseconds:.2f} ms",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(0.1)
    low, high = axes.get_ylim()
    if high - low < span:  # small differences must look small
        axes.set_ylim((low + high - span) / 2, (low + high + span) / 2)
    axes.set_xlabel("median milliseconds of one crop, mean of both modalities (logarithmic)")
    axes.set_ylabel(accuracy)
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return svg(picture)
