"""The course of a training as a plot."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from edge_reid.charts import ACCENT, INK, SOFT, WARM, figure, svg
from edge_reid.files import atomic_file

OTHERS = {"epoch", "height", "width", "learning_rate", "loss", "accuracy", "seconds", "images_per_second"}
"""Columns that are no terms of the loss."""

LEFT_OUT = {"attributes", "parsing"}
"""Terms that are not drawn: what a network learns besides who people are."""


def write_curve(path: Path, history: Sequence[dict[str, float]]) -> None:
    """Write an SVG: the losses of every epoch, and beside them how many people are recognised.

    Args:
        path: the file.
        history: the rows of log.csv. A dotted line marks where the pictures grow.
    """
    epochs = [row["epoch"] for row in history]
    plot, (losses, people) = figure(9.6, 3.0, columns=2)
    columns = dict.fromkeys(name for row in history for name in row)
    names = [name for name in columns if name not in OTHERS | LEFT_OUT and not name.startswith("val")]
    for name, color in zip(names, itertools.cycle((ACCENT, WARM, SOFT, INK)), strict=False):
        known = [row for row in history if name in row]
        losses.plot([row["epoch"] for row in known], [row[name] for row in known], color=color, label=name, marker=".")
    losses.set_ylabel("loss")
    people.plot(
        epochs, [100 * row["accuracy"] for row in history], color=SOFT, label="training people named", marker="."
    )
    for name, color in (("thermal_to_visible", WARM), ("visible_to_thermal", ACCENT)):
        ranked = [row for row in history if f"val_rank1_{name}" in row]
        if ranked:
            values = [100 * row[f"val_rank1_{name}"] for row in ranked]
            label = f"rank-1, validation, {name.replace('_', ' ')}"
            people.plot([row["epoch"] for row in ranked], values, color=color, label=label, marker="o")
    people.set_ylabel("percent")
    people.set_ylim(bottom=0)
    for axes in (losses, people):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False, fontsize="small")
        for before, after in itertools.pairwise(history):
            if after["height"] != before["height"]:
                axes.axvline(before["epoch"] + 0.5, color=INK, linewidth=0.8, linestyle=":")
    with atomic_file(path) as temporary:
        temporary.write_text(svg(plot), encoding="utf-8")
