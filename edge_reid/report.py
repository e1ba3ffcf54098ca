"""The demo's report: one page that carries its pictures and needs nothing from anywhere."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np

from edge_reid import __version__
from edge_reid.errors import UserError
from edge_reid.evaluation.matches import MatchScores, score_matches
from edge_reid.files import atomic_file

INK, ACCENT, WARM, SOFT = "#1d2733", "#0f6cbd", "#d9541e", "#9fb3c8"

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, sans-serif; color: #1d2733; background: #f4f6f8; margin: 0; }
main { max-width: 1080px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 2rem; margin: 0 0 .25rem; } h2 { margin: 2.5rem 0 .5rem; font-size: 1.3rem; }
p.lead { font-size: 1.1rem; color: #44546a; margin-top: 0; }
section { background: #fff; border: 1px solid #dde4ec; border-radius: 10px; padding: 1rem 1.25rem; margin: 1rem 0; }
section h2 { margin-top: .25rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: .75rem; margin: 1.5rem 0; }
.tile { background: #fff; border: 1px solid #dde4ec; border-radius: 10px; padding: .75rem 1rem; }
.tile b { display: block; font-size: 1.6rem; } .tile span { color: #5b6b7f; font-size: .9rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid #e6ebf1; }
th:first-child, td:first-child { text-align: left; } th { color: #5b6b7f; font-weight: 600; }
img, svg { max-width: 100%; height: auto; display: block; margin: .75rem auto; border-radius: 6px; }
code { background: #eef2f6; border-radius: 4px; padding: .1rem .35rem; font-size: .85rem; overflow-wrap: anywhere; }
.note { color: #5b6b7f; font-size: .9rem; } .scroll { overflow-x: auto; }
"""


def write_report(out: Path, steps: Sequence[tuple[str, str]]) -> Path:
    """Write `out`/report.html from `out`/steps/*.json and the pictures beside them.

    Args:
        out: the demo's folder.
        steps: (name, title) in order.

    Raises:
        UserError: a step's record is missing.
    """
    facts = {name: _read(out / "steps" / f"{name}.json") for name, _ in steps}
    scores = score_matches(out / "tracks", out / "scene")
    parts = [
        _head(facts, scores),
        _section("People", _PEOPLE, _picture(out / "people" / "sheet.png")),
        _section("Training", _TRAINING, _curve(out / "train" / "log.csv"), _accuracy(facts)),
        _section("Whom it finds", _RANKING, _picture(out / "ranking.png")),
        _section("INT8", _INT8, _quantised(facts["export"]["printed"])),
        _section("Speed", _SPEED, _bars(facts), *_latency(facts)),
        _section("Two cameras", _CAMERAS, _frame(out / "annotated.avi"), _matching(facts["app"]["printed"], scores)),
        _section("Commands", _COMMANDS, _commands(facts, steps)),
    ]
    page = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>edge-reid demo</title>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<style>{_STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>"
    )
    report = out / "report.html"
    with atomic_file(report) as temporary:
        temporary.write_text(page)
    return report


_PEOPLE = (
    "Synthetic people, drawn for this demo: each row is one of the 100 people that are searched, seen by visible "
    "cameras (left) and thermal ones (right). Colour says nothing across; cut, shape, heat and load do."
)
_TRAINING = (
    "The reference model goes on learning from 300 other people in front of the same new cameras. Numbers are on "
    "synthetic people that neither training ever saw."
)
_RANKING = (
    "The first column is searched; then the ten nearest people of the other modality, right framed green, wrong red."
)
_INT8 = (
    "Calibrated on pictures of training people; measured on the test people. The gate is one point of rank-1 or mAP."
)
_SPEED = "Host to host, preprocessing inside the graph. One clock for all rows; rounds interleave the engines."
_CAMERAS = (
    "A synthetic scene, two views of one square. Same number and colour: the app holds them for one person. No "
    "position is used, appearance alone decides."
)
_COMMANDS = "Everything above was made by these commands, in this order."


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no record of this step; run `edge-reid demo` again") from error
    return content


def _section(title: str, text: str, *contents: str) -> str:
    return f"<section><h2>{title}</h2><p class='note'>{text}</p>{''.join(contents)}</section>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class='scroll'><table><tr>{top}</tr>{body}</table></div>"


def _head(facts: dict[str, dict[str, Any]], scores: MatchScores) -> str:
    seconds = sum(fact["seconds"] for fact in facts.values())
    peak = max(fact["peak_bytes_so_far"] for fact in facts.values())
    before, after = (facts[name]["printed"]["evaluations"] for name in ("before", "after"))
    rates = facts["app"]["printed"]["fps"]
    tiles = [
        (f"{_percent(before[0]['rank1'])} → {_percent(after[0]['rank1'])}", "rank-1, thermal to visible, 100 people"),
        (f"{_percent(before[1]['rank1'])} → {_percent(after[1]['rank1'])}", "rank-1, visible to thermal"),
        (f"{min(rates.values()):.0f} fps", "both cameras, the slower stream"),
        (f"{_percent(scores.link_precision)} / {_percent(scores.link_recall)}", "match precision / recall"),
        (f"{seconds / 60:.1f} min", f"for everything, at most {peak / 2**30:.1f} GiB"),
    ]
    shown = "".join(f"<div class='tile'><b>{value}</b><span>{text}</span></div>" for value, text in tiles)
    machine = facts["benchmark"]["printed"]["machine"]
    return (
        "<h1>edge-reid: from pictures to a match</h1>"
        "<p class='lead'>Visible-thermal person re-identification, trained, quantised and run on this machine. "
        "All people on this page are synthetic.</p>"
        f"<div class='tiles'>{shown}</div><p class='note'>{html.escape(_machine(machine))}; edge-reid {__version__}</p>"
    )


def _machine(machine: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items() if value not in (None, ""))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _direction(result: dict[str, Any]) -> str:
    return f"{result['query_modality']} to {result['gallery_modality']}"


def _accuracy(facts: dict[str, dict[str, Any]]) -> str:
    rows = []
    baselines = facts["before"]["printed"]["baselines"]
    named = [*baselines.items(), ("reference model", facts["before"]["printed"]["evaluations"])]
    named.append(("after the demo's training", facts["after"]["printed"]["evaluations"]))
    for name, results in named:
        for result in results:
            numbers = (_percent(result[key]) for key in ("rank1", "rank5", "rank10", "mean_ap", "mean_inp"))
            rows.append([name, _direction(result), *numbers])
    table = _table(["synthetic, 100 people", "direction", "rank-1", "rank-5", "rank-10", "mAP", "mINP"], rows)
    return f"{table}<p class='note'>{html.escape(facts['after']['printed']['evaluations'][0]['protocol'])}</p>"


def _quantised(printed: dict[str, Any]) -> str:
    accuracy = printed["accuracy"]
    rows = []
    for before, after in zip(accuracy["before"], accuracy["after"], strict=True):
        for key, label in (("rank1", "rank-1"), ("mean_ap", "mAP")):
            lost = 100 * (before[key] - after[key])
            rows.append([_direction(before), label, _percent(before[key]), _percent(after[key]), f"{-lost:+.2f}"])
    return _table(["synthetic, direction", "metric", "FP32", "INT8", "points"], rows)


def _latency(facts: dict[str, dict[str, Any]]) -> list[str]:
    tables = []
    for name, title in (("benchmark", "the demo's model, width 0.25"), ("full_benchmark", "OSNet x1.0, untrained")):
        rows = []
        for row in facts[name]["printed"]["rows"]:
            if row.get("error"):
                rows.append([f"{row['engine']} {row['precision']}", str(row["batch"]), row["error"], *[""] * 6])
                continue
            rows.append(
                [
                    f"{row['engine']} {row['precision']} {row['modality']}", str(row["batch"]),
                    *(f"{row[key]:.2f}" for key in ("p50_ms", "p90_ms", "p99_ms")), f"{row['images_per_second']:.0f}",
                    f"{row['file_bytes'] / 1e6:.2f}", f"{row['load_seconds']:.2f}",
                    _cosine(row),
                ]
            )  # fmt: skip
        head = [title, "batch", "p50 ms", "p90 ms", "p99 ms", "pictures/s", "MB", "load s", "cosine mean / min"]
        tables.append(_table(head, rows))
    return tables


def _cosine(row: dict[str, Any]) -> str:
    return "" if row.get("cosine_minimum") is None else f"{row['cosine_mean']:.4f} / {row['cosine_minimum']:.4f}"


def _matching(summary: dict[str, Any], scores: MatchScores) -> str:
    rows = [
        ["links shown, frame by frame", _percent(scores.link_precision), _percent(scores.link_recall)],
        ["pairs of tracks bound", _percent(scores.binding_precision), _percent(scores.binding_recall)],
    ]
    rates = ", ".join(f"{name} {rate:.1f} fps" for name, rate in summary["fps"].items())
    return _table(["synthetic scene", "precision", "recall"], rows) + f"<p class='note'>{html.escape(rates)}</p>"


def _commands(facts: dict[str, dict[str, Any]], steps: Sequence[tuple[str, str]]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(title)}<br><code>{html.escape(facts[name]['command'])}</code></td>"
        f"<td>{facts[name]['seconds']:.0f} s</td></tr>"
        for name, title in steps
    )
    return f"<div class='scroll'><table>{rows}</table></div>"


def _picture(path: Path) -> str:
    image = cv2.imread(str(path))
    if image is None:
        raise UserError(f"{path}: the report misses this picture; remove the steps folder and run the demo again")
    return _inline(image, path.stem)


def _inline(image: Any, name: str) -> str:
    done, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])
    if not done:
        raise RuntimeError(f"OpenCV could not encode {name}")
    return (
        f"<img alt='{html.escape(name)}' src='data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}'>"
    )


def _frame(video: Path) -> str:
    """The frame in the middle of the annotated video."""
    capture = cv2.VideoCapture(str(video))
    try:
        capture.set(cv2.CAP_PROP_POS_FRAMES, capture.get(cv2.CAP_PROP_FRAME_COUNT) // 2)
        found, frame = capture.read()
    finally:
        capture.release()
    if not found:
        raise UserError(f"{video}: not a video; remove steps/app.json and run the demo again")
    return _inline(frame, "both cameras")


def _curve(log: Path) -> str:
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) for row in rows]
    figure, axes = _figure(7.2, 2.8)
    for name, color in (("identity", ACCENT), ("distillation", WARM), ("center", SOFT)):
        axes.plot(
            epochs, [float(row[name]) for row in rows], color=color, label=f"{name} loss", linewidth=2, marker="o"
        )
    axes.set_xlabel("epoch")
    axes.set_xticks(epochs)
    axes.legend(frameon=False)
    return _svg(figure)


def _bars(facts: dict[str, dict[str, Any]]) -> str:
    """Median latency at batch 1, both widths."""
    named: dict[str, list[float]] = {}
    for name in ("benchmark", "full_benchmark"):
        for row in facts[name]["printed"]["rows"]:
            if row["batch"] == 1 and not row.get("error"):
                label = f"{'x0.25' if name == 'benchmark' else 'x1.0'} {row['engine']} {row['precision']}"
                named.setdefault(label, []).append(row["p50_ms"])
    figure, axes = _figure(7.2, 0.9 + 0.38 * len(named))
    labels, values = list(named)[::-1], [float(np.mean(times)) for times in named.values()][::-1]
    axes.barh(labels, values, color=[ACCENT if "int8" in label else SOFT for label in labels])
    for place, value in enumerate(values):
        axes.text(value, place, f" {value:.1f}", va="center", color=INK)
    axes.set_xlabel("median milliseconds at batch 1, less is better")
    return _svg(figure)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    matplotlib.use("svg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _svg(figure: Any) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
