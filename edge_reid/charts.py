"""Plots in one style, as SVG."""

from __future__ import annotations

import io
from typing import Any

import matplotlib

INK, ACCENT, WARM, SOFT = "#1d2733", "#0f6cbd", "#d9541e", "#9fb3c8"


def figure(width: float, height: float, columns: int = 1, rows: int = 1) -> tuple[Any, Any]:
    """A matplotlib figure of so many inches and its axes, several with more than one column or row."""
    matplotlib.use("svg")
    from matplotlib.figure import Figure

    plot = Figure(figsize=(width, height), layout="constrained")
    axes = plot.subplots(rows, columns)
    for each in plot.axes:
        each.spines[["top", "right"]].set_visible(False)
    return plot, axes


def svg(plot: Any) -> str:
    """The figure as vectors inside the page."""
    text = io.StringIO()
    plot.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
