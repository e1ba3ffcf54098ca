"""The demo's report: one page that carries its pictures and needs nothing from anywhere."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_reid import __version__
from edge_reid.charts import ACCENT, INK, SOFT, figure, svg
from edge_reid.errors import UserError
from edge_reid.evaluation.matches import MatchScores, score_matches
from edge_reid.page import inline, percent, section, table, write_page
from edge_reid.types import MODALITIES


def write_report(out: Path, steps: Sequence[tuple[str, str]]) -> Path:
    """Write `out`/report.html from `out`/steps/*.json and the pictures beside them.

    Args:
        out: the demo's folder.
        steps: (name, title) in order.

    Raises:
        UserError: a step's record is missing.
    """
    facts = {name: _read(out / "steps" / f"{name}.json") for name, _ in steps}
    scores = {
        "place and appearance": score_matches(out / "tracks", out / "scene"),
        "appearance alone": score_matches(out / "tracks_appearance_only", out / "scene"),
    }
    parts = [
        _head(facts, scores["place and appearance"]),
        section("People", _PEOPLE, _picture(out / "people" / "sheet.png")),
        section("Training", _TRAINING, _text(out / "train" / "curve.svg"), _accuracy(facts)),
        section("Whom it finds", _RANKING, _picture(out / "ranking.png")),
        section("INT8", _INT8, _quantised(facts["export"]["printed"])),
        section("Speed", _SPEED, _bars(facts), *_latency(facts)),
        section("Two cameras", _CAMERAS, _frame(out / "annotated.avi"), _matching(facts["app"]["printed"], scores)),
        section("Commands", _COMMANDS, _commands(facts, steps)),
    ]
    report = out / "report.html"
    write_page(report, "edge-reid demo", "".join(parts))
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
    "Calibrated on pictures of training people; measured on the test people. The gate is half a point of rank-1 or "
    "mAP; where INT8 costs more, layers are given back to floating point."
)
_SPEED = "Host to host, preprocessing inside the graph. One clock for all rows; rounds interleave the engines."
_CAMERAS = (
    "A synthetic scene, two views of one square. Same number and colour: the app holds them for one person. With "
    "the homography of the ground only people who stand at one place are compared; the table says what that is worth."
)
_COMMANDS = "Everything above was made by these commands, in this order."


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no record of this step; run `edge-reid demo` again") from error
    return content


def _head(facts: dict[str, dict[str, Any]], scores: MatchScores) -> str:
    seconds = sum(fact["seconds"] for fact in facts.values())
    peak = max(fact["peak_bytes"] for fact in facts.values())
    before, after = (facts[name]["printed"]["evaluations"] for name in ("before", "after"))
    rates = facts["app"]["printed"]["fps"]
    tiles = [
        (f"{percent(before[0]['rank1'])} → {percent(after[0]['rank1'])}", "rank-1, thermal to visible, 100 people"),
        (f"{percent(before[1]['rank1'])} → {percent(after[1]['rank1'])}", "rank-1, visible to thermal"),
        (f"{min(rates.values()):.0f} fps", "both cameras, the slower stream"),
        (f"{percent(scores.binding_precision)} / {percent(scores.binding_recall)}", "match precision / recall"),
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


def _direction(result: dict[str, Any]) -> str:
    return f"{result['query_modality']} to {result['gallery_modality']}"


def _accuracy(facts: dict[str, dict[str, Any]]) -> str:
    rows = []
    baselines = facts["before"]["printed"]["baselines"]
    named = [*baselines.items(), ("reference model", facts["before"]["printed"]["evaluations"])]
    named.append(("after the demo's training", facts["after"]["printed"]["evaluations"]))
    for name, both in named:
        for result in both:
            numbers = (percent(result[key]) for key in ("rank1", "rank5", "rank10", "mean_ap", "mean_inp"))
            rows.append([name, _direction(result), *numbers])
    results = table(["synthetic, 100 people", "direction", "rank-1", "rank-5", "rank-10", "mAP", "mINP"], rows)
    return f"{results}<p class='note'>{html.escape(facts['after']['printed']['evaluations'][0]['protocol'])}</p>"


def _quantised(printed: dict[str, Any]) -> str:
    exact, *lighter = printed["accuracy"]
    rows = []
    for made in lighter:
        for before, after in zip(exact["results"], made["results"], strict=True):
            for key, label in (("rank1", "rank-1"), ("mean_ap", "mAP")):
                lost = 100 * (before[key] - after[key])
                name = f"{made['precision'].upper()} for {made['target']}"
                numbers = percent(before[key]), percent(after[key]), f"{-lost:+.2f}"
                rows.append([_direction(before), label, name, *numbers])
    losses = table(["synthetic, direction", "metric", "precision", "FP32", "fewer bits", "points"], rows)
    return losses + "".join(f"<p class='note'>{html.escape(line)}</p>" for line in _layers(printed))


def _layers(printed: dict[str, Any]) -> list[str]:
    """A line per INT8 graph: how much of it is 8 bits, and what was given back."""
    lines = []
    for target, graphs in printed["provenance"]["calibration"]["layers"].items():
        for modality, layers in graphs.items():
            given_back = f"; given back to floating point: {', '.join(layers['given_back'])}"
            lines.append(
                f"{target}, {modality}: {layers['rounded']} of {layers['convolutions']} convolutions in 8 bits"
                f"{given_back if layers['given_back'] else ''}"
            )
    return lines


def _latency(facts: dict[str, dict[str, Any]]) -> list[str]:
    tables = []
    for name, title in (("benchmark", "the demo's model, width 0.25"), ("full_benchmark", "OSNet x1.0, untrained")):
        rows = []
        for row in facts[name]["printed"]["rows"]:
            if row.get("error"):
                rows.append([f"{row['engine']} {row['precision']}", str(row["batch"]), row["error"], *[""] * 7])
                continue
            rows.append(
                [
                    f"{row['engine']} {row['precision']} {row['modality']}", str(row["batch"]),
                    *(f"{row[key]:.2f}" for key in ("p50_ms", "p90_ms", "p99_ms")), f"{row['images_per_second']:.0f}",
                    f"{row['file_bytes'] / 1e6:.2f}", f"{row['load_seconds']:.2f}",
                    "" if row.get("rank1") is None else f"{100 * row['rank1']:.1f} / {100 * row['mean_ap']:.1f}",
                    _cosine(row),
                ]
            )  # fmt: skip
        head = [title, "batch", "p50 ms", "p90 ms", "p99 ms", "pictures/s", "MB", "load s"]
        tables.append(table([*head, "rank-1 / mAP, %", "cosine mean / min"], rows))
        tables.append(_speedups(facts[name]["printed"]["rows"]))
        tables.append(f"<p class='note'>{html.escape(facts[name]['printed']['verdict'])}</p>")
    return tables


def _speedups(rows: Sequence[dict[str, Any]]) -> str:
    """A line per INT8 engine: how many times as fast it is at batch 1 as what people start from."""
    median = {
        (f"{row['engine']} {row['precision']}", row["modality"]): row["p50_ms"]
        for row in rows
        if row["batch"] == 1 and not row.get("error")
    }
    lines = []
    for small, title in {"onnxruntime int8": "ONNX Runtime INT8", "openvino int8": "OpenVINO INT8"}.items():
        parts = []
        for large, name in {"torch fp32": "eager PyTorch", "onnxruntime fp32": "ONNX Runtime FP32"}.items():
            times = [
                f"{median[large, modality] / median[small, modality]:.1f} times ({modality})"
                for modality in MODALITIES
                if {(large, modality), (small, modality)} <= median.keys()
            ]
            parts += [f"{' and '.join(times)} as fast as {name}"] if times else []
        lines += [f"{title} is {'; '.join(parts)}."] if parts else []
    return f"<p class='note'>At batch 1, {' '.join(lines)}</p>" if lines else ""


def _cosine(row: dict[str, Any]) -> str:
    return "" if row.get("cosine_minimum") is None else f"{row['cosine_mean']:.4f} / {row['cosine_minimum']:.4f}"


def _matching(summary: dict[str, Any], scores: dict[str, MatchScores]) -> str:
    rows = []
    for name, score in scores.items():
        rows += [
            [
                f"{name}: matches (couples of tracks)",
                f"{percent(score.binding_precision)} ({score.right_bindings} of {score.bindings})",
                f"{percent(score.binding_recall)} ({score.bound_people} of {score.asked_people} people)",
            ],
            [f"{name}: frame by frame", percent(score.link_precision), percent(score.link_recall)],
        ]
    rates = ", ".join(f"{name} {rate:.1f} fps" for name, rate in summary["fps"].items())
    note = (
        "A match is right when both its tracks are in most frames the same person; asked for is everyone whom both "
        "cameras see whole for a second. Frame by frame, both boxes must also cover the person by half in that very "
        f"frame, and frames before the match count as missed. {rates}."
    )
    return table(["synthetic scene", "precision", "recall"], rows) + f"<p class='note'>{html.escape(note)}</p>"


def _commands(facts: dict[str, dict[str, Any]], steps: Sequence[tuple[str, str]]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(title)}<br><code>{html.escape(facts[name]['command'])}</code></td>"
        f"<td>{facts[name]['seconds']:.0f} s</td></tr>"
        for name, title in steps
    )
    return f"<div class='scroll'><table>{rows}</table></div>"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{path}: the report misses this plot; remove the steps folder and run the demo again"
        ) from error


def _picture(path: Path) -> str:
    image = cv2.imread(str(path))
    if image is None:
        raise UserError(f"{path}: the report misses this picture; remove the steps folder and run the demo again")
    return inline(np.asarray(image, np.uint8), path.stem)


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
    return inline(np.asarray(frame, np.uint8), "both cameras")


def _bars(facts: dict[str, dict[str, Any]]) -> str:
    """Median latency at batch 1, both widths."""
    named: dict[str, list[float]] = {}
    for name in ("benchmark", "full_benchmark"):
        for row in facts[name]["printed"]["rows"]:
            if row["batch"] == 1 and not row.get("error"):
                label = f"{'x0.25' if name == 'benchmark' else 'x1.0'} {row['engine']} {row['precision']}"
                named.setdefault(label, []).append(row["p50_ms"])
    plot, axes = figure(7.2, 0.9 + 0.38 * len(named))
    labels, values = list(named)[::-1], [float(np.mean(times)) for times in named.values()][::-1]
    axes.barh(labels, values, color=[ACCENT if "int8" in label else SOFT for label in labels])
    for place, value in enumerate(values):
        axes.text(value, place, f" {value:.1f}", va="center", color=INK)
    axes.set_xlabel("median milliseconds at batch 1, less is better")
    return svg(plot)
