"""A run that is killed outright, at any moment, goes on from its last checkpoint bit for bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from edge_reid.data.folder import FolderDataset
from edge_reid.data.synthetic.dataset import Population, write_dataset
from edge_reid.recipes.mmff_sd import MmffSd
from edge_reid.training.checkpoint import load_state
from edge_reid.training.loop import train
from edge_reid.training.run import Plan

RECIPE = MmffSd(arch="osnet", width=0.25, size=(64, 32), identities=3, pictures=2, guidance_from=0.0)
PLAN = Plan(epochs=3, steps_per_epoch=6)

CODE = """
import sys
from pathlib import Path
from edge_reid.data.folder import FolderDataset
from edge_reid.training.loop import train
from tests.training.test_killed import PLAN, RECIPE
data, out = FolderDataset(Path(sys.argv[1])), Path(sys.argv[2])
train(data=data, out=out, recipe=RECIPE, plan=PLAN, device="cpu", workers=0, checkpoint_minutes=0)
"""


def run_and_kill(people: Path, out: Path, chance: random.Random) -> int | None:
    """Start the run in a process of its own and kill it after a few checkpoints; its exit code, None if killed."""
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", CODE, str(people), str(out)], cwd=root, stdout=subprocess.DEVNULL)
    last, seen = out / "last.pt", set()
    wanted = chance.randint(2, 6)
    while process.poll() is None and len(seen) < wanted:
        if last.exists():
            seen.add(last.stat().st_mtime_ns)
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.1))  # in the middle of a step, or of a checkpoint
    os.kill(process.pid, signal.SIGKILL)
    code = process.wait()
    return None if code == -signal.SIGKILL else code


def test_a_killed_run_loses_no_checkpoint_and_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    people, killed, whole = (tmp_path / name for name in ("people", "killed", "whole"))
    write_dataset(people, Population(identities=6, test_identities=1, pictures=3, size=(64, 32)))
    seed = random.SystemRandom().randrange(10_000)
    print(f"seed {seed}")  # shown when the test fails
    chance, before = random.Random(seed), 0
    for _ in range(3):
        assert run_and_kill(people, killed, chance) is None
        state = load_state(killed / "last.pt")
        steps = state.epoch * 6 + state.step
        assert steps > before, "each time it got further"
        before = steps
    for out in (killed, whole):
        train(data=FolderDataset(people), out=out, recipe=RECIPE, plan=PLAN, device="cpu", workers=0)
    first, second = (load_state(out / "last.pt") for out in (whole, killed))
    assert first.network.keys() == second.network.keys()
    memory = first.network["memory.features"]
    assert bool((memory.abs().sum(2) > 0).equal(first.network["memory.written"])), "what was seen was remembered"
    assert bool(first.network["memory.written"].any())
    for name, tensor in first.network.items():
        assert torch.equal(tensor, second.network[name]), name
    clock = {"seconds", "images_per_second"}
    rows = [[{k: v for k, v in row.items() if k not in clock} for row in state.history] for state in (first, second)]
    assert rows[0] == rows[1]
