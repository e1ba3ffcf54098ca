"""Killed at any moment: what is older than a second is there, and the file opens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from strangers import all_bytes, gallery, look

ROOT = Path(__file__).parents[2]

BUSY = """
import sys, time
from pathlib import Path
import numpy as np
from strangers import gallery, look, NOW

random = np.random.default_rng(int(sys.argv[2]))
with gallery(Path(sys.argv[1])) as people:
    print("ready", flush=True)
    mine = [people.add(look(random))]
    while True:
        chance = random.random()
        if chance < 0.4:
            mine.append(people.add(look(random)))
            done = f"person {mine[-1]}"
        elif chance < 0.7:
            people.add(look(random), mine[-1])
            done = "another look"
        elif chance < 0.95 or len(mine) < 3:
            people.sighted(mine[-1], "visible", NOW, NOW + len(mine))
            done = f"sighting {mine[-1]}"
        else:
            people.rename(mine[0], f"secret {mine[0]} name")
            people.flush()
            people.forget(mine[0])
            done = f"forgotten {mine.pop(0)}"
        print(time.monotonic(), done, flush=True)
        time.sleep(0.004)
"""


@pytest.mark.parametrize("seed", range(3))
def test_whoever_is_killed_loses_the_last_second_at_most(seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    path = tmp_path / "people"
    folders = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY, str(path), str(seed)], env={**os.environ, "PYTHONPATH": folders},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(1.1 + random.random())
    killed = time.monotonic()
    process.send_signal(signal.SIGKILL)
    lines = [line.split(" ", 1) for line in process.stdout.read().splitlines() if line.count(" ") > 1]
    process.wait()
    old = [what for moment, what in lines if float(moment) < killed - 1.0]
    assert old, "it had worked for more than a second"
    with gallery(path, space=None, dimension=None) as people:
        there = {person.number for person in people.people()}
        seen = {sighting.person for sighting in people.sightings(most=100_000)}
        gone = {int(what.split()[1]) for _, what in lines if what.startswith("forgotten")}
        for what in old:
            kind, number = what.split()[0], what.split()[-1]
            if kind == "person" and int(number) not in gone:
                assert int(number) in there
            if kind == "sighting" and int(number) not in gone:
                assert int(number) in seen
            if kind == "forgotten":
                assert int(number) not in there
        people.flush()
        after = all_bytes(tmp_path)
        for number in gone - there:
            assert f"secret {number} name".encode() not in after
        assert people.add(look(random)) > max(there | gone)
