"""Two processes take the steps of one."""

from __future__ import annotations

import csv
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
    "--arch osnet --width 0.25 --size 64 32 --identities 4 --pictures 2 --epochs 2 --steps 3 --learning-rate 1e-3",
    "--workers 0 --device cpu --part-dim 16 --validate 2 --set semantic_parts=5 optimizer=adamw",
)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("parallel") / "people"
    write_dataset(root, Population(identities=8, test_identities=1, pictures=3, size=(64, 32)))
    return root


def train(people: Path, out: Path, recipe: str, own: str, processes: int) -> list[dict[str, str]]:
    options = " ".join([*OPTIONS, own]).split()
    words = [str(word) for word in ("train", people, "--out", out, "--recipe", recipe, *options)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "edge_reid.cli", *words],
            env={**os.environ, **world, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(processes)
    ]  # fmt: skip
    printed = [process.communicate(timeout=240)[0] for process in started]
    assert [process.returncode for process in started] == [0] * processes, "\n".join(printed)
    assert all(not text for text in printed[1:]), "one process speaks for all"
    with (out / "log.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("recipe", "own"),
    [
        ("sdm-mgim", ""),
        ("cscl", "labels=self"),
        ("mmff-sd", "guidance_from=0.0"),
        # SGD's steps are as long as the gradient: one that is too large by the number of processes would show.
        ("psfl", "optimizer=sgd learning_rate=0.05 trunk_rate=1.0 clip=1000.0"),
    ],
    ids=["sdm-mgim", "cscl", "mmff-sd", "psfl with SGD"],
)
def test_two_processes_take_the_steps_of_one(people: Path, tmp_path: Path, recipe: str, own: str) -> None:
    alone = train(people, tmp_path / "one", recipe, own, 1)
    together = train(people, tmp_path / "two", recipe, own, 2)
    assert len(alone) == len(together) == 2
    clock = {"seconds", "images_per_second"}
    for one, two in zip(alone, together, strict=True):
        assert one.keys() == two.keys()
        for name in one.keys() - clock:
            if not name.startswith("val"):  # near chance, a picture's rank hangs on rounding
                allowed = 0.05 if name == "accuracy" else 2e-3  # one picture of a near tie is 1/48
                assert float(two[name]) == pytest.approx(float(one[name]), rel=2e-3, abs=allowed), name
    first, second = (load_stored(tmp_path / run / "last.pt").weights for run in ("one", "two"))
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
