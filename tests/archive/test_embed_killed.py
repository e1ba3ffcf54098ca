"""Killed at any moment: what is there is whole, and the same command does the rest."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from archives import draw_all, embed, parts, read

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_run_goes_on_and_gives_what_an_undisturbed_one_gives(seed: int, tmp_path: Path) -> None:
    archive, out, sizes = tmp_path / "archive", tmp_path / "out", ("--block", "4", "--batch", "4")
    draw_all(archive, 300)
    words = ["embed", str(archive), "--out", str(out), "--modality", "visible", *sizes]
    process = subprocess.Popen([sys.executable, "-m", "edge_reid.cli", *words], cwd=ROOT, stdout=subprocess.DEVNULL)
    while len(parts(out)) < 3:
        assert process.poll() is None
        time.sleep(0.002)
    time.sleep(np.random.default_rng(seed).uniform(0, 0.05))
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = parts(out)
    assert 3 <= len(there) < 75, "it was killed in the middle"
    assert [len(pq.read_table(out / name)) for name in there] == [4] * len(there)
    assert embed(archive, out, *sizes) == 0
    assert embed(archive, tmp_path / "whole", *sizes) == 0
    assert read(out).equals(read(tmp_path / "whole"))
    assert sorted(path.name for path in out.iterdir()) == ["_archive.json", *parts(tmp_path / "whole")]
