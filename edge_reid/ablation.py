"""A grid of trainings over seeds, and one table of what came of them.

A grid is a TOML file:

    seeds = [0, 1, 2]
    [people]                     # numbers of `edge-reid synth`; without them the command line gives a data folder
    identities = 400
    [train]                      # options of `edge-reid train` for every cell
    epochs = 6
    [numbers]                    # numbers of every recipe
    arch = "osnet"

    [[study]]
    name = "Self-distillation"
    recipe = "sdm-mgim"
    [study.variant.off]          # a recipe of its own with `recipe`, options of `edge-reid train` under `train`
    numbers = { students = [] }
    [study.variant.on]
    [[study.claim]]
    says = "with it people are found better than without"
    better = "on"
    worse = "off"

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

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy import stats

from edge_reid.errors import CheckFailed, UserError
from edge_reid.files import atomic_file

if sys.version_info >= (3, 11):
    import tomllib
else:  # the same library under the name that it had before it joined Python
    import tomli as tomllib

CONFIDENCE = 0.95
"""One-sided, of a claim that is said to hold."""

Numbers = dict[str, Any]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Variant(_Part):
    """One row of a study."""

    recipe: str | None = None
    numbers: Numbers = {}
    train: Numbers = {}


class Claim(_Part):
    """What a paper says or a design expects of two variants of a study."""

    says: str
    better: str
    worse: str


class Study(_Part):
    """Variants that are compared with each other."""

    name: str
    recipe: str | None = None
    about: str = ""
    numbers: Numbers = {}
    train: Numbers = {}
    variant: dict[str, Variant]
    claim: list[Claim] = []


class Grid(_Part):
    """All of it."""

    seeds: list[int] = Field(min_length=1)
    people: Numbers | None = None
    train: Numbers = {}
    numbers: Numbers = {}
    study: list[Study] = Field(min_length=1)


@dataclass(frozen=True)
class Cell:
    """One training."""

    recipe: str
    numbers: tuple[tuple[str, str], ...]
    train: tuple[tuple[str, str], ...]
    seed: int

    @property
    def name(self) -> str:
        """Of its folder: equal cells of several studies have one."""
        told = json.dumps([self.recipe, self.numbers, self.train])
        return f"{self.recipe}-{hashlib.sha256(told.encode()).hexdigest()[:10]}-{self.seed}"

    def commands(self, data: Path, folder: Path) -> list[list[str]]:
        """Train it and measure it."""
        options = [word for key, value in self.train for word in (f"--{key.replace('_', '-')}", *value.split(" "))]
        numbers = ["--set", *(f"{key}={value}" for key, value in self.numbers)] if self.numbers else []
        return [
            ["train", str(data), "--out", str(folder / "run"), "--recipe", self.recipe, "--seed", str(self.seed),
             "--workers", "0", *options, *numbers],
            ["evaluate", str(folder / "run" / "model.safetensors"), str(data), "--json"],
        ]  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One variant over all seeds; points of percent, both directions' mean."""

    study: str
    variant: str
    rank1: list[float]
    mean_ap: list[float]
    seconds: list[float]
    """Of training."""


def read_grid(path: Path) -> Grid:
    """A grid file.

    Raises:
        UserError: it is missing or malformed, or a claim names a variant that the study has not.
    """
    try:
        grid = Grid.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(f"{path}: no such grid; see docs/ablations.toml for one") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not TOML ({error}); mend that place") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}; mend that entry") from error
    for study in grid.study:
        for claim in study.claim:
            if not {claim.better, claim.worse} <= set(study.variant):
                raise UserError(f"{path}: study {study.name!r}: the claim {claim.says!r} names an unknown variant")
        if any(not (variant.recipe or study.recipe) for variant in study.variant.values()):
            raise UserError(f"{path}: study {study.name!r}: needs a recipe, or one in each variant")
    return grid


def cells_of(grid: Grid, study: Study, variant: Variant) -> list[Cell]:
    """A variant's cells, one per seed; what is said more closely counts."""
    numbers = {**grid.numbers, **study.numbers, **variant.numbers}
    train = {**grid.train, **study.train, **variant.train}
    return [
        Cell(str(variant.recipe or study.recipe), _words(numbers, ","), _words(train, " "), seed) for seed in grid.seeds
    ]


def ablate(
    path: Path, out: Path, data: Path | None = None, *, jobs: int | None = None, tell: Callable[[str], None] = print
) -> tuple[list[Row], Path]:
    """Run what is left of a grid and write out/ablation.md and out/ablation.json.

    Args:
        path: the grid.
        out: the folder of its cells.
        data: people to train on and to test on; the grid's own when None.
        jobs: cells at a time; as many as there are processors when None.
        tell: called with a line per cell.

    Raises:
        UserError: the grid is malformed, or there are no people.
        CheckFailed: a cell failed; its log is named, the others are kept.
    """
    grid = read_grid(path)
    if data is None:
        data = out / "people"
        if grid.people is None:
            raise UserError(f"{path}: has no [people], and no data folder was given; give one")
        if not data.exists():
            words = [word for key, value in _words(grid.people, " ") for word in (f"--{key.replace('_', '-')}", value)]
            _run(["synth", str(data), *(part for word in words for part in word.split(" "))], out / "people.log", 0)
    rows = [(study, name, cells_of(grid, study, v)) for study in grid.study for name, v in study.variant.items()]
    todo = {cell.name: cell for _, _, cells in rows for cell in cells}
    folder = out / "cells"
    workers = jobs or os.cpu_count() or 1
    threads = max(1, (os.cpu_count() or 1) // workers)
    left = [cell for cell in todo.values() if not (folder / cell.name / "result.json").exists()]
    tell(f"{len(todo)} cells, {len(todo) - len(left)} done before, {workers} at a time")
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        running = {pool.submit(_cell, cell, data, folder / cell.name, threads): cell for cell in left}
        try:
            for number, done in enumerate(concurrent.futures.as_completed(running), start=1):
                found = done.result()
                tell(
                    f"[{number}/{len(left)}] {running[done].name}: rank-1 {found['rank1']:.1f}, mAP {found['map']:.1f}"
                )
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    results = {name: json.loads((folder / name / "result.json").read_text()) for name in todo}
    table = [_row(study, name, [results[cell.name] for cell in cells]) for study, name, cells in rows]
    with atomic_file(out / "ablation.json") as temporary:
        temporary.write_text(json.dumps([vars(row) for row in table], indent=1))
    page = out / "ablation.md"
    with atomic_file(page) as temporary:
        temporary.write_text("\n".join(markdown(grid, table)), encoding="utf-8")
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


def markdown(grid: Grid, table: Sequence[Row]) -> Iterator[str]:
    """The lines of a page: a table per study, and what became of its claims."""
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


def _words(values: Numbers, between: str) -> tuple[tuple[str, str], ...]:
    texts = {
        key: between.join(map(str, value)) if isinstance(value, list) else str(value) for key, value in values.items()
    }
    return tuple(sorted(texts.items()))


def _cell(cell: Cell, data: Path, folder: Path, threads: int) -> dict[str, float]:
    folder.mkdir(parents=True, exist_ok=True)
    printed = ""
    for words in cell.commands(data, folder):
        printed = _run(words, folder / f"{words[0]}.log", threads)
    both = json.loads(printed.strip().splitlines()[-1])["evaluations"]
    last = (folder / "run" / "log.csv").read_text().splitlines()
    column = last[0].split(",").index("seconds")
    result = {
        "rank1": 100 * statistics.fmean(one["rank1"] for one in both),
        "map": 100 * statistics.fmean(one["mean_ap"] for one in both),
        "seconds": sum(float(line.split(",")[column]) for line in last[1:]),
    }
    with atomic_file(folder / "result.json") as temporary:
        temporary.write_text(json.dumps(result))
    (folder / "run" / "last.pt").unlink(missing_ok=True)  # of no use to anybody, and most of the bytes
    return result


def _run(words: list[str], log: Path, threads: int) -> str:
    environment = dict(os.environ)
    if threads:
        environment |= {"OMP_NUM_THREADS": str(threads), "EDGE_REID_THREADS": str(threads)}
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "edge_reid.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    log.write_text(done.stdout + done.stderr)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no word of why"])[-1].removeprefix("edge-reid: ")
        raise CheckFailed(f"{log}: `edge-reid {words[0]}` ended with exit code {done.returncode}: {reason}")
    return done.stdout


def _row(study: Study, name: str, results: Sequence[dict[str, float]]) -> Row:
    rank1, mean_ap, seconds = ([result[key] for result in results] for key in ("rank1", "map", "seconds"))
    return Row(study.name, name, rank1, mean_ap, seconds)
