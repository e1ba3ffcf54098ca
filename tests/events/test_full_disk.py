from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from listeners import wait_for

from edge_reid.events.events import Events

FULL_DISK = """
import json, logging, resource, sys, time
from pathlib import Path
from edge_reid.events import writer
from edge_reid.events.events import Events
from edge_reid.events.outbox import Message
writer.AGAIN_SECONDS = 0.01
writer.MOST_IN_MEMORY = 50
logging.basicConfig(format="%(message)s", stream=sys.stdout)

class Peer:
    kind, name, most = "peer", "peer", 100
    taken = []
    def deliver(self, messages):
        self.taken += [message.key for message in messages]
    def close(self):
        pass

def fill(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def tell(count):
    for _ in range(count):
        events.write("person_entered", time.monotonic(), {"camera": "visible", "person": 1})

path = Path(sys.argv[1])
peer = Peer()
events = Events(path, [peer])
tell(20)
while events.counts()["written"] < 20:
    time.sleep(0.01)
fill(path.stat().st_size + 10)
tell(400)
counts = events.counts()
assert counts["written"] == 20 and 50 <= counts["in_memory"] <= 150, counts
assert counts["in_memory"] + counts["lost"] == 400, counts
fill(resource.RLIM_INFINITY)
while events.counts()["in_memory"]:
    time.sleep(0.01)
tell(3)
lost = events.counts()["lost"]
events.close()
lines = [json.loads(line) for line in path.read_text().splitlines()]
told = [line for line in lines if line["event"] == "lost"]
assert [line["count"] for line in told] == [lost], told
numbers = [int(line["id"][-9:]) for line in lines]
assert numbers == sorted(set(numbers))
assert len(numbers) == numbers[-1] - lost, "the numbers of the lost are left out, and no others"
assert peer.taken == [line["id"] for line in lines]
"""


def test_a_full_disk_stops_nobody_and_what_was_lost_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "events.jsonl")],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.stderr == ""
    first, last = done.stdout.splitlines()[0], done.stdout.splitlines()[-1]
    assert "no space left" in first or "File too large" in first
    assert last.endswith("can be written again")


def test_closing_is_bounded_also_when_the_disk_takes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "folder" / "events.jsonl"
    events = Events(path)
    events.write("started", 0.0, {"version": "0.1.0"})
    wait_for(lambda: events.counts()["written"] == 1)
    path.unlink()
    path.mkdir()  # nobody can write there
    for _ in range(10):
        events.write("started", 0.0, {"version": "0.1.0"})
    events.close()
    assert events.counts() == {"written": 1, "lost": 10, "in_memory": 0}
    assert "the last 10 were not written" in caplog.text
