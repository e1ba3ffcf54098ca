"""Killed at random, with a receiver that comes and goes: nothing committed is lost, doubled or out of order."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

from listeners import Endpoint, endpoint

WRITER = """
import random, sys, time
from pathlib import Path
from edge_reid.events import delivery
from edge_reid.events.events import Events
from edge_reid.events.log import Rotation
from edge_reid.events.webhook import Webhook

delivery.PAUSES = (0.02, 0.1)
events = Events(Path(sys.argv[1]), [Webhook(sys.argv[2])], rotation=Rotation(file_bytes=30_000, files=1000))
last = sys.argv[3:] == ["last"]
for number in range(1, 11 if last else 10**9):
    events.write("person_entered", number / 25, {"camera": random.choice(["visible", "thermal"]), "person": number})
    print(events.run, events.counts()["written"], flush=True)  # what is said to be written outlives whatever comes
    time.sleep(random.choice([0.0, 0.001, 0.02]))
while events.counts()["webhook_waiting"] or events.counts()["in_memory"]:
    time.sleep(0.01)
events.close()
"""

ROUNDS = 5


def wander(server: Endpoint, generator: random.Random, stop: threading.Event) -> None:
    """Be there, be away, be out of order, or take something and hang up."""
    while not stop.wait(generator.uniform(0.02, 0.2)):
        mood = generator.choice(["well", "well", "broken", "mute", "away"])
        server.answer = {"broken": lambda _: 503, "mute": lambda _: None}.get(mood, lambda _: 204)
        if mood == "away":
            server.close()
            stop.wait(generator.uniform(0.05, 0.2))
            server.open()
    server.answer = lambda _: 204


def test_kills_at_random_lose_double_and_disorder_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    generator = random.Random(5)
    stop = threading.Event()
    promised: dict[str, int] = {}
    with endpoint() as server:
        mood = threading.Thread(target=wander, args=(server, random.Random(6), stop))
        mood.start()
        command = [sys.executable, "-c", WRITER, str(path), server.url]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        try:
            for _ in range(ROUNDS):
                with subprocess.Popen(
                    command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                ) as writer:
                    assert writer.stdout is not None
                    promises = [writer.stdout.readline()]  # it runs
                    time.sleep(generator.uniform(0.0, 0.5))
                    writer.kill()
                    promises += writer.stdout.readlines()
                run, number = promises[-1].split()
                promised[run.decode()] = int(number)
        finally:
            stop.set()
            mood.join()
        subprocess.run([*command, "last"], env=environment, check=True, timeout=60)
    lines = b"".join(file.read_bytes() for file in [*sorted(tmp_path.glob("events.0*.jsonl")), path]).splitlines()
    filed = [json.loads(line)["id"] for line in lines]
    assert len(set(filed)) == len(filed)
    for run, promise in promised.items():
        numbers = [int(identifier[-9:]) for identifier in filed if identifier.startswith(run)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= promise
    assert len(promised) == ROUNDS
    assert server.confirmed == filed
