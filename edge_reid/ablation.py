"""Runs a grid of trainings over seeds and writes one table of what came of them.

Cells that are done are not run again, so an interrupted grid goes on with the same command.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from edge_reid.errors import CheckFailed, UserError
from edge_reid.files import atomic_file
from edge_reid.grid import Cell, Grid, Study, cells_of, read_grid, words

CONFIDENCE = 0.95
"""One-sided, of a claim that is said to hold."""


@dataclass(frozen=True)
class Row:
    """One variant over all seeds and splits; points of percent, means of all directions."""

    study: str
    variant: str
    rank1: list[float]
    mean_ap: list[float]
    seconds: list[float]
    """Of training."""


def ablate(
    path: Path, out: Path, data: Path | None = None, *, jobs: int | None = None, tell: Callable[[str], None] = print
) -> tuple[list[Row], Path]:
    """Run what is left of a grid and write out/ablation.md and out/ablation.json.

    Args:
        path: the grid.
        out: the folder of its cells.
        data: people to train on and to test on; the grid's own when None.
        jobs: cells at a time; when None as many as there are processors, or one with a GPU.
        tell: called with a line per cell.

    Raises:
        UserError: the grid is malformed, or there are no people.
        CheckFailed: a cell failed; its log is named, the others are kept.
    """
    grid = read_grid(path)
    if jobs is not None and jobs < 1:
        raise UserError(f"--jobs {jobs}: needs at least 1")
    people = str(data.resolve()) if data else str(words(grid.people or {}, " "))
    if data is None:
        data = out / f"people-{hashlib.sha256(people.encode()).hexdigest()[:10]}"
        if grid.people is None:
            raise UserError(f"{path}: has no [people], and no data folder was given; give one")
        if not data.exists():
            options = [f"--{key.replace('_', '-')} {value}" for key, value in words(grid.people, " ")]
            _run(["synth", str(data), *" ".join(options).split()], out / "people.log", 0)
    rows = [
        (study, name, cells_of(grid, study, v, people)) for study in grid.study for name, v in study.variant.items()
    ]
    todo = {cell.name: cell for _, _, cells in rows for cell in cells}
    folder = out / "cells"
    workers = jobs or (1 if _has_gpu() else os.cpu_count() or 1)
    threads = max(1, (os.cpu_count() or 1) // workers)
    left = [cell for cell in todo.values() if not (folder / cell.name / "result.json").exists()]
    tell(f"{len(todo)} cells, {len(todo) - len(left)} done before, {workers} at a time")
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        running = {pool.submit(_cell, cell, data, folder / cell.name, threads): cell for cell in left}
        try:
            for number, done in enumerate(concurrent.futures.as_completed(running), start=1):
                found, name = done.result(), running[done].name
                tell(f"[{number}/{len(left)}] {name}: rank-1 {found['rank1']:.1f}, mAP {found['map']:.1f}")
                if number == 1:
                    tell("\n".join(f"  that is the mean over: {protocol}" for protocol in found["protocols"]))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    results: dict[str, dict[str, Any]] = {
        name: json.loads((folder / name / "result.json").read_text()) for name in todo
    }
    table = [_row(study, name, [results[cell.name] for cell in cells]) for study, name, cells in rows]
    protocols = list(dict.fromkeys(line for result in results.values() for line in result["protocols"]))
    with atomic_file(out / "ablation.json") as temporary:
        temporary.write_text(json.dumps({"protocols": protocols, "rows": [vars(row) for row in table]}, indent=1))
    page = out / "ablation.md"
    with atomic_file(page) as temporary:
        temporary.write_text("\n".join(markdown(grid, table, protocols)), encoding="utf-8")
    return table, page


def verdict(better: Sequence[float], worse: Sequence[float]) -> tuple[float, float, str]:
    """Mean and standard deviation of the differences seed by seed, and what they say.

    "held" and "reversed" where a one-sided paired t-test at 95 % says so, else "inside the noise".
    """
    differences = [first - second for first, second in zip(better, worse, strict=True)]
    mean = statistics.fmean(differences)
    if len(differences) < 2:
        return mean, 0.0, "one seed says nothing"
    deviation = statistics.stdev(differences)
    bound = float(stats.t.ppf(CONFIDENCE, len(differences) - 1)) * deviation / len(differences) ** 0.5
    said = "held" if mean > bound else "reversed" if mean < -bound else "inside the noise"
    return mean, deviation, said


def markdown(grid: Grid, table: Sequence[Row], protocols: Sequence[str]) -> Iterator[str]:
    """The lines of a page: a table per study, and what became of its claims."""
    seeds = ", ".join(map(str, grid.seeds))
    over = f"the seeds {seeds}" + (f" and the splits {', '.join(map(str, grid.splits))}" if grid.splits else "")
    yield f"Mean ± standard deviation over {over}, in percent; rank-1 and mAP are means over:\n"
    yield from (f"* {protocol}" for protocol in protocols)
    yield ""
    for study in grid.study:
        rows = {row.variant: row for row in table if row.study == study.name}
        yield f"### {study.name}\n"
        if study.about:
            yield f"{study.about}\n"
        yield "| variant | rank-1 | mAP | seconds of training |"
        yield "|---|---|---|---|"
        for name, row in rows.items():
            yield f"| {name} | {_spread(row.rank1)} | {_spread(row.mean_ap)} | {statistics.fmean(row.seconds):.0f} |"
        yield ""
        for claim in study.claim:
            mean, deviation, said = verdict(rows[claim.better].mean_ap, rows[claim.worse].mean_ap)
            gain = f"{mean:+.2f} ± {deviation:.2f} points of mAP"
            yield f"* {claim.says} (`{claim.better}` against `{claim.worse}`): **{said}**, {gain}"
        yield ""


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.1f} ± {statistics.stdev(values) if len(values) > 1 else 0:.1f}"


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _cell(cell: Cell, data: Path, folder: Path, threads: int) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    printed = ""
    for command in cell.commands(data, folder):
        printed = _run(command, folder / f"{command[0]}.log", threads)
    both = json.loads(printed.strip().splitlines()[-1])["evaluations"]
    last = (folder / "run" / "log.csv").read_text().splitlines()
    column = last[0].split(",").index("seconds")
    result = {
        "rank1": 100 * statistics.fmean(one["rank1"] for one in both),
        "map": 100 * statistics.fmean(one["mean_ap"] for one in both),
        "protocols": [one["protocol"] for one in both],
        "seconds": sum(float(line.split(",")[column]) for line in last[1:]),
    }
    with atomic_file(folder / "result.json") as temporary:
        temporary.write_text(json.dumps(result))
    (folder / "run" / "last.pt").unlink(missing_ok=True)  # of no use to anybody, and most of the bytes
    return result


def _read(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


def _run(command: list[str], log: Path, threads: int) -> str:
    environment = dict(os.environ)
    if threads:
        environment |= {"OMP_NUM_THREADS": str(threads), "EDGE_REID_THREADS": str(threads)}
    log.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "edge_reid.cli", *command], capture_output=True, text=True, env=environment
    )
    log.write_text(done.stdout + done.stderr)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no word of why"])[-1].removeprefix("edge-reid: ")
        raise CheckFailed(f"{log}: `edge-reid {command[0]}` ended with exit code {done.returncode}: {reason}")
    return done.stdout


def _row(study: Study, name: str, results: Sequence[dict[str, Any]]) -> Row:
    rank1, mean_ap, seconds = ([result[key] for result in results] for key in ("rank1", "map", "seconds"))
    return Row(study.name, name, rank1, mean_ap, seconds)
