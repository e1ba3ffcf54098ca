"""A grid of trainings as a TOML file:

seeds = [0, 1, 2]
[people]                     # numbers of `edge-reid synth`; without them the command line gives a data folder
identities = 400
[data]                       # instead: options that say what the data folder is, data_set = "regdb"; splits = [1, 2, 3]
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
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from edge_reid.errors import UserError
from edge_reid.toml import read_toml

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
    data: Numbers = {}
    splits: list[int] = []
    """Of regdb: every seed trains on each."""
    train: Numbers = {}
    numbers: Numbers = {}
    study: list[Study] = Field(min_length=1)

    @property
    def repeats(self) -> list[tuple[int, Numbers]]:
        """Every cell's: its seed, and what [data] says."""
        return [(seed, {**self.data, **split}) for seed in self.seeds for split in self._splits()]

    def _splits(self) -> list[Numbers]:
        return [{"split": split} for split in self.splits] or [{}]


@dataclass(frozen=True)
class Cell:
    """One training."""

    recipe: str
    numbers: tuple[tuple[str, str], ...]
    train: tuple[tuple[str, str], ...]
    people: str
    """What they are trained and tested on, in words."""
    seed: int
    data: tuple[tuple[str, str], ...] = ()
    """What data set that is, and which of its protocols is meant."""

    @property
    def name(self) -> str:
        """Of its folder: equal cells of several studies have one."""
        told = json.dumps([self.recipe, self.numbers, self.train, self.people, *([self.data] if self.data else [])])
        return f"{self.recipe}-{hashlib.sha256(told.encode()).hexdigest()[:10]}-{self.seed}"

    def commands(self, data: Path, folder: Path) -> list[list[str]]:
        """Train it and measure it."""
        which = [pair for pair in self.data if pair[0] in _TRAINED]
        options = _options([*which, *self.train])
        numbers = ["--set", *(f"{key}={value}" for key, value in self.numbers)] if self.numbers else []
        return [
            ["train", str(data), "--out", str(folder / "run"), "--recipe", self.recipe, "--seed", str(self.seed),
             "--workers", "0", *options, *numbers],
            ["evaluate", str(folder / "run" / "model.safetensors"), str(data), "--json", *_options(self.data)],
        ]  # fmt: skip


_TRAINED = ("data_set", "split")
"""Of the options of [data], those that a training has, too."""


def _options(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [word for key, value in pairs for word in (f"--{key.replace('_', '-')}", *value.split())]


def read_grid(path: Path) -> Grid:
    """A grid file.

    Raises:
        UserError: it is missing or malformed, or a claim names a variant that the study has not.
    """
    grid = read_toml(path, Grid, missing=f"{path}: no such grid; see docs/ablations.toml for one")
    for name, numbers in (("seeds", grid.seeds), ("splits", grid.splits)):
        if len(set(numbers)) < len(numbers):
            raise UserError(f"{path}: {name} {numbers}: each one once; a copy would look like agreement")
    if grid.people and (grid.data or grid.splits):
        raise UserError(f"{path}: has [people] and [data] or splits; drawn people are a folder, leave the others out")
    for study in grid.study:
        for claim in study.claim:
            if not {claim.better, claim.worse} <= set(study.variant):
                raise UserError(f"{path}: study {study.name!r}: the claim {claim.says!r} names an unknown variant")
        if any(not (variant.recipe or study.recipe) for variant in study.variant.values()):
            raise UserError(f"{path}: study {study.name!r}: needs a recipe, or one in each variant")
    return grid


def cells_of(grid: Grid, study: Study, variant: Variant, people: str) -> list[Cell]:
    """A variant's cells, one per seed and split; what is said more closely counts."""
    numbers = {**grid.numbers, **study.numbers, **variant.numbers}
    train = {**grid.train, **study.train, **variant.train}
    recipe, fixed = str(variant.recipe or study.recipe), (words(numbers, ","), words(train, " "), people)
    return [Cell(recipe, *fixed, seed, words(data, " ")) for seed, data in grid.repeats]


def words(values: Numbers, between: str) -> tuple[tuple[str, str], ...]:
    texts = {
        key: between.join(map(str, value)) if isinstance(value, list) else "" if value is True else str(value)
        for key, value in values.items()
    }
    return tuple(sorted(texts.items()))
