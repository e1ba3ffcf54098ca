"""Grids: their cells, what became of claims, and that finished cells are kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_reid.ablation import ablate, verdict
from edge_reid.data.synthetic.dataset import Population, write_dataset
from edge_reid.errors import CheckFailed, UserError
from edge_reid.grid import cells_of, read_grid
from tests.data.trees import write_regdb

TINY = """
seeds = [0, 1]
[train]
arch = "osnet"
width = 0.25
size = [64, 32]
identities = 2
pictures = 2
epochs = 1
steps = 1
device = "cpu"
[numbers]
augment = "synthetic"
[[study]]
name = "Parts"
recipe = "psfl"
[study.variant.global]
numbers = { granularities = [], alignment = "off" }
[study.variant.both]
[[study.claim]]
says = "parts help"
better = "both"
worse = "global"
[[study]]
name = "Again"
recipe = "psfl"
[study.variant."the same"]
"""


def test_the_grid_of_the_documentation_is_whole() -> None:
    from edge_reid import recipes

    grid = read_grid(Path(__file__).parents[2] / "docs" / "ablations.toml")
    assert len(grid.seeds) >= 3
    for study in grid.study:
        for variant in study.variant.values():
            for cell in cells_of(grid, study, variant, "people")[:1]:
                recipe = recipes.changed(recipes.get(cell.recipe), dict(cell.numbers))
                taken = {"arch", "width", "size", "identities", "pictures", "learning_rate", "attribute_weight"}
                train = {key: value.replace(" ", ",") for key, value in cell.train if key in taken}
                recipes.changed(recipe, train)


def test_what_is_said_more_closely_counts(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(TINY)
    grid = read_grid(path)
    first, second = (cells_of(grid, grid.study[0], variant, "people") for variant in grid.study[0].variant.values())
    assert dict(first[0].numbers) == {"augment": "synthetic", "granularities": "", "alignment": "off"}
    assert dict(first[0].train)["size"] == "64 32"
    assert [cell.seed for cell in first] == [0, 1]
    again = cells_of(grid, grid.study[1], grid.study[1].variant["the same"], "people")
    assert again == second, "equal cells are one"


def test_a_grid_runs_once_and_tells_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, people, out = tmp_path / "grid.toml", tmp_path / "people", tmp_path / "out"
    path.write_text(TINY)
    write_dataset(people, Population(identities=4, test_identities=3, pictures=3, size=(64, 32)))
    rows, page = ablate(path, out, people, jobs=2)
    assert "4 cells, 0 done before" in capsys.readouterr().out
    assert [(row.study, row.variant) for row in rows] == [
        ("Parts", "global"), ("Parts", "both"), ("Again", "the same"),
    ]  # fmt: skip
    assert rows[1].mean_ap == rows[2].mean_ap
    for row in rows:
        assert len(row.rank1) == 2
        assert all(0 < value <= 100 for value in row.mean_ap)
    for path_of in (out / "cells").glob("*/result.json"):
        assert set(json.loads(path_of.read_text())) == {"rank1", "map", "seconds", "protocols"}
    text = page.read_text()
    assert "### Parts" in text
    for direction in ("thermal -> visible", "visible -> thermal"):
        assert f"* people (synthetic), {direction}, 9 queries" in text
    assert "* parts help (`both` against `global`): **" in text
    again, _ = ablate(path, out, people, jobs=2)
    assert "4 cells, 4 done before" in capsys.readouterr().out
    assert again == rows


def test_a_published_set_is_trained_and_measured_by_its_own_protocol_on_every_split(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(TINY.replace("seeds = [0, 1]", 'seeds = [0]\nsplits = [1, 2]\n[data]\ndata_set = "regdb"', 1))
    path.write_text(path.read_text().split("[study.variant.both]")[0])
    (row,), page = ablate(path, tmp_path / "out", write_regdb(tmp_path / "regdb"), jobs=2)
    assert len(row.mean_ap) == 2
    text = page.read_text()
    assert "over the seeds 0 and the splits 1, 2" in text
    for split in (1, 2):
        assert f"* RegDB, split {split} of 10, visible -> thermal, 9 queries" in text


def test_a_cell_that_fails_names_its_log(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(TINY)
    with pytest.raises(CheckFailed, match=r"train.log: `edge-reid train` ended with exit code 2: .*no such folder"):
        ablate(path, tmp_path / "out", tmp_path / "nobody", jobs=1)


@pytest.mark.parametrize(
    ("better", "worse", "said"),
    [
        ([50.0, 51.0, 52.0], [40.0, 41.0, 42.0], "held"),
        ([40.0, 41.0, 42.0], [50.0, 51.0, 52.0], "reversed"),
        ([50.0, 41.0, 52.0], [49.0, 43.0, 50.0], "inside the noise"),
        ([50.0], [40.0], "one seed says nothing"),
    ],
)
def test_a_claim_holds_where_its_seeds_agree(better: list[float], worse: list[float], said: str) -> None:
    assert verdict(better, worse)[2] == said


def test_the_bound_of_a_claim_is_students_t() -> None:
    # differences 1, 2, 3: mean 2, deviation 1, and 2.92 / sqrt(3) = 1.69 of it is the one-sided bound at 95 %
    assert verdict([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]) == (2.0, 1.0, "held")
    assert verdict([0.6, 1.6, 2.6], [0.0, 0.0, 0.0])[2] == "inside the noise"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds = [0, 1]", "seeds = []", r"grid.toml: seeds: .*; mend that entry"),
        ("[train]", "[training]", r"grid.toml: training: there is no such entry; did you mean train"),
        ('worse = "global"', 'worse = "nothing"', r"the claim 'parts help' names an unknown variant"),
        ('recipe = "psfl"', "", r"study 'Parts': needs a recipe"),
        ("[numbers]", "[numbers", r"grid.toml: not TOML"),
        ("seeds = [0, 1]", "seeds = [0, 0]", r"seeds \[0, 0\]: each one once"),
        ("[train]", "splits = [1]\n[people]\nseed = 1\n[train]", r"has \[people\] and \[data\] or splits"),
    ],
)
def test_a_malformed_grid_names_the_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(TINY.replace(old, new, 1))
    with pytest.raises(UserError, match=message):
        read_grid(path)


def test_other_people_are_other_cells(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(TINY)
    grid = read_grid(path)
    names = {cells_of(grid, grid.study[0], grid.study[0].variant["both"], p)[0].name for p in ("these", "those")}
    assert len(names) == 2


def test_people_come_from_the_grid_or_from_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(TINY)
    with pytest.raises(UserError, match=r"has no \[people\], and no data folder was given"):
        ablate(path, tmp_path / "out")
    with pytest.raises(UserError, match="no such grid"):
        ablate(tmp_path / "missing.toml", tmp_path / "out")
