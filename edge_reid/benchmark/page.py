"""The record as files: benchmark.json for programs, benchmark.md for documents, benchmark.html for people."""

from __future__ import annotations

import html
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

from edge_reid.benchmark.plot import plot
from edge_reid.benchmark.profile import shares
from edge_reid.benchmark.rows import Kind, Profile, Record
from edge_reid.benchmark.tables import (
    LEAST_SHARE,
    NOTE,
    Table,
    failures,
    machine_line,
    number,
    profile_lines,
    protocols,
    state_line,
    tables,
)
from edge_reid.benchmark.verdict import EAGER, times
from edge_reid.files import atomic_file
from edge_reid.page import percent, section, table, write_page


def write_record(folder: Path, record: Record, more: Sequence[Table] = ()) -> None:
    """Write benchmark.json, benchmark.md and benchmark.html into a folder.

    Args:
        folder: made if it is not there; files of these names are replaced.
        record: what was measured.
        more: tables that follow the record's own.
    """
    with atomic_file(folder / "benchmark.json") as temporary:
        temporary.write_text(json.dumps(record.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")
    with atomic_file(folder / "benchmark.md") as temporary:
        temporary.write_text(markdown(record, more), encoding="utf-8")
    write_page(folder / "benchmark.html", "edge-reid benchmark", _body(record, more))


def markdown(record: Record, more: Sequence[Table] = ()) -> str:
    """One page of Markdown."""
    height, width = record.bundle.input_size
    parts = [
        f"# Benchmark of {record.bundle.recipe}, {height} x {width}",
        f"`{record.command}`, {record.date}, edge-reid {record.edge_reid}",
        f"{machine_line(record)}. {state_line(record)}",
        *(f"**Warning**: {warning}." for warning in record.warnings),
        record.verdict,
        NOTE,
    ]
    for one in (*tables(record), *more):
        parts += [f"## {one.title}", _markdown_table(one)]
    parts += protocols(record)
    for title, lines in (("Fewer bits", record.advice), ("Not measured", failures(record))):
        if lines:
            parts += [f"## {title}", "\n".join(f"* {line}" for line in lines)]
    if record.profiles:
        parts.append("## Where the time goes")
    for profile in record.profiles:
        heading, kinds, slowest = profile_lines(profile)
        parts.append(f"**{heading}**: {kinds}. Slowest layers: {slowest}.")
    return "\n\n".join(parts) + "\n"


def _markdown_table(one: Table) -> str:
    lines = [one.head, ["---"] + ["---:"] * (len(one.head) - 1), *one.rows]
    return "\n".join(f"| {' | '.join(cell.strip().replace('|', '/') for cell in line)} |" for line in lines)


def _body(record: Record, more: Sequence[Table]) -> str:
    height, width = record.bundle.input_size
    parts = [
        f"<h1>Benchmark of {html.escape(record.bundle.recipe)}, {height} x {width}</h1>",
        f"<p class='lead'>{html.escape(record.verdict)}</p>",
        _tiles(record),
    ]
    if record.warnings:
        items = "".join(f"<li>{html.escape(warning)}</li>" for warning in record.warnings)
        parts.append(section("Do not trust these figures too far", "", f"<ul>{items}</ul>"))
    if importlib.util.find_spec("matplotlib") is None:
        drawn: str | None = "<p>No plot: matplotlib is not installed; pip install 'edge-reid[train]'.</p>"
    else:
        drawn = plot(record)
    if drawn:
        said = "One crop at a time. Nothing is both faster and more accurate than those on the front (dark edges)."
        parts.append(section("Latency against accuracy", said, drawn))
    speed, cost = tables(record)
    parts.append(section(speed.title, html.escape(NOTE), _unbroken(speed)))
    said = "<br>".join(html.escape(line) for line in protocols(record))
    parts.append(section(cost.title, said, _unbroken(cost)))
    parts += [section(html.escape(one.title), "", _unbroken(one)) for one in more]
    for title, lines in (("Fewer bits", record.advice), ("Not measured", failures(record))):
        if lines:
            items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
            parts.append(section(title, "", f"<ul>{items}</ul>"))
    parts += [_profile(profile) for profile in record.profiles]
    facts = f"{machine_line(record)}. {state_line(record)} edge-reid {record.edge_reid}, {record.date}."
    parts.append(section("Machine", html.escape(facts), f"<p><code>{html.escape(record.command)}</code></p>"))
    return "".join(parts)


def _unbroken(one: Table) -> str:
    """Cells that stay on one line."""
    return table(one.head, [[cell.replace(" ", "\N{NO-BREAK SPACE}") for cell in row] for row in one.rows])


def _tiles(record: Record) -> str:
    """The chosen engine in four numbers."""
    if record.choice is None:
        return ""
    chosen = record.choice.engines
    kind = Kind(chosen["visible"].backend, chosen["visible"].precision)
    rows = [row for row in record.rows if row.kind == kind and row.batch == 1]
    tiles = [(f"{' / '.join(number(row.p50_ms) for row in rows)} ms", f"one crop, visible / thermal, {kind}")]
    if eager := times(record.rows, 1, EAGER):
        tiles.append((f"{eager.both / sum(row.p50_ms or 0 for row in rows):.1f} times", "as fast as eager PyTorch"))
    if all(row.rank1 is not None for row in rows):
        tiles.append((" / ".join(percent(row.rank1 or 0) for row in rows), "rank-1, queries visible / thermal"))
    if peaks := [row.peak_bytes for row in rows if row.peak_bytes is not None]:
        tiles.append((f"{max(peaks) / 1e6:.0f} MB", "of memory at most, in a process of its own"))
    shown = "".join(f"<div class='tile'><b>{value}</b><span>{text}</span></div>" for value, text in tiles)
    return f"<div class='tiles'>{shown}</div>"


def _profile(profile: Profile) -> str:
    heading, _, slowest = profile_lines(profile)
    kinds = [[name, str(count), percent(share)] for name, count, share in shares(profile) if share >= LEAST_SHARE]
    said = f"By its own profiler, which costs time itself. Slowest layers: {slowest}."
    return section(html.escape(heading), html.escape(said), table(("operator", "layers", "share"), kinds))
