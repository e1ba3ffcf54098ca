"""The throughput of a training: its phases add up, and its sentence follows from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_reid.data.folder import FolderDataset
from edge_reid.errors import UserError
from edge_reid.recipes.mmff_sd import MmffSd
from edge_reid.training.throughput import throughput

RECIPE = MmffSd(arch="osnet", width=0.25, size=(64, 32), identities=2, pictures=2)


def test_every_phase_of_a_step_is_timed(tiny_data: Path) -> None:
    phases, said = throughput(FolderDataset(tiny_data), RECIPE, steps=2, workers=0, device="cpu")
    names = [phase.name for phase in phases]
    assert names == [
        "decode", "augment", "load", "move and normalise", "forward", "losses", "backward", "update", "whole step",
    ]  # fmt: skip
    times = {phase.name: phase.milliseconds for phase in phases}
    assert all(time > 0 for time in times.values())
    for phase in phases:
        assert phase.pictures_per_second == pytest.approx(8 / phase.milliseconds * 1e3)
    computed = sum(times[name] for name in names[3:8])
    assert times["whole step"] > 0.5 * computed, "the whole holds its parts, give or take a busy machine"
    assert said.startswith("a step waits ")


def test_no_steps_are_refused(tiny_data: Path) -> None:
    with pytest.raises(UserError, match="--steps 0: needs at least 1"):
        throughput(FolderDataset(tiny_data), RECIPE, steps=0)
