"""Two processes take the steps of one."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from edge_reid.data.synthetic.dataset import Population, write_dataset
from edge_reid.errors import UserError
from edge_reid.training.checkpoint import load_stored

ROOT = Path(__file__).parents[2]

OPTIONS = (
    "--arch osnet --width 0.25 --size 64 32 --identities 4 --pictures 2 --epochs 2 --steps 3 --learning-rate 1e-3 "
    "--workers 0 --device cpu --part-dim 16 --validate 2 --set semantic_parts=5 optimizer=adamw"
)

RECIPES = {
    "sdm-mgim": "",
    "cscl": "labels=self",
    "mmff-sd": "guidance_from=0.0",
    # SGD's steps are as long as the gradient: one that is too large by the number of processes would show.
    "psfl": "optimizer=sgd learning_rate=0.05 trunk_rate=1.0 clip=1000.0",
}
"""And numbers of their own."""

TRAIN = """
import json, os, sys
from edge_reid.cli import main
codes = []
for port, *words in json.loads(sys.argv[1]):
    os.environ["MASTER_PORT"] = port  # another one each time, for the last one may not be free at once
    codes.append(main(words))
sys.exit(max(codes))
"""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("parallel") / "people"
    write_dataset(root, Population(identities=8, test_identities=1, pictures=3, size=(64, 32)))
    return root


@pytest.fixture(scope="module")
def runs(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of all recipes in one/ by one process and in two/ by two, without starting PyTorch for each."""
    out = tmp_path_factory.mktemp("runs")
    for name, processes in (("one", 1), ("two", 2)):
        train_all(people, out / name, processes)
    return out


def train_all(people: Path, out: Path, processes: int) -> None:
    with contextlib.ExitStack() as sockets:
        free = [sockets.enter_context(socket.socket()) for _ in RECIPES]
        for each in free:
            each.bind(("127.0.0.1", 0))
        ports = [str(each.getsockname()[1]) for each in free]
    trainings = [
        [port, "train", str(people), "--out", str(out / recipe), "--recipe", recipe, *f"{OPTIONS} {own}".split()]
        for port, (recipe, own) in zip(ports, RECIPES.items(), strict=True)
    ]
    world = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", TRAIN, json.dumps(trainings)],
            env={**os.environ, **world, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(processes)
    ]  # fmt: skip
    printed = [process.communicate(timeout=240 * len(RECIPES))[0] for process in started]
    assert [process.returncode for process in started] == [0] * processes, "\n".join(printed)
    assert all(not text for text in printed[1:]), "one process speaks for all"


def log_of(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("recipe", RECIPES)
def test_two_processes_take_the_steps_of_one(runs: Path, recipe: str) -> None:
    alone, together = (log_of(runs / name / recipe) for name in ("one", "two"))
    assert len(alone) == len(together) == 2
    clock = {"seconds", "images_per_second"}
    for one, two in zip(alone, together, strict=True):
        assert one.keys() == two.keys()
        for name in one.keys() - clock:
            if not name.startswith("val"):  # near chance, a picture's rank hangs on rounding
                allowed = 0.05 if name == "accuracy" else 2e-3  # one picture of a near tie is 1/48
                assert float(two[name]) == pytest.approx(float(one[name]), rel=2e-3, abs=allowed), name
    first, second = (load_stored(runs / name / recipe / "last.pt").weights for name in ("one", "two"))
    assert first.keys() == second.keys()
    statistics = [name for name in first if name.endswith(("running_mean", "memory.features", "prototypes"))]
    for name in statistics:
        assert torch.allclose(first[name], second[name], rtol=1e-2, atol=1e-2), name


def test_a_step_that_cannot_be_shared_is_refused(people: Path) -> None:
    from edge_reid import recipes
    from edge_reid.data.folder import FolderDataset
    from edge_reid.training.run import Plan, Start, start

    with pytest.raises(UserError, match="--identities 8: cannot be shared by 3 processes; take a multiple"):
        start(
            FolderDataset(people), recipes.get("sdm-mgim"), Plan(epochs=1), Start(), torch.device("cpu"), share=(0, 3)
        )
