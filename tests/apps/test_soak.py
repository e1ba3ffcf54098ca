"""The soak of docs/soak.md in about a minute: every failure of a camera, a receiver that comes and goes, one kill."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import soak
import soak_page
import soak_record
import soak_verdict
from flaky import FlakyCamera, Mode
from waiting import wait_for

APP = """
import contextlib, runpy, sys
folder, script = sys.argv[1:3]
sys.argv = sys.argv[2:]
sys.path.insert(0, folder)
import walkers
from edge_reid.live import run
run.open_networks = lambda options: contextlib.nullcontext(walkers.networks())
runpy.run_path(script, run_name="__main__")
"""
CHEAP = (sys.executable, "-c", APP, str(soak.ROOT / "tests/people"), str(soak.ROOT / "apps/dual_camera.py"))
"""apps/dual_camera.py with a network that costs nothing."""

BOUNDS = soak_verdict.Bounds(
    back_seconds=10.0, missed=3, growth_megabytes=6.0, commit_seconds=3.0, warm_up=15.0, medians_apart=2.0
)
"""Two cores that other tests use, too, need more time; a minute is too short for the memory of a process to settle."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux's /proc")

FAILURES = {"drop", "freeze", "garbage", "refuse", "stall"}
"""What the app cannot but notice; pictures of another size OpenCV scales to the old one."""

Entry = dict[str, Any]


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory, videos: Path) -> Path:
    """A folder with what a soak of a minute left."""
    out = tmp_path_factory.mktemp("soak") / "soak"
    # drawn so that every failure comes at least twice, and one silence and one frozen picture long enough to be noticed
    soak.soak(soak.Plan(out, videos, seconds=60.0, seed=107, kills=1, pace=0.45, app=CHEAP))
    return out


def test_the_app_keeps_its_promises_for_a_minute(soaked: Path) -> None:
    verdict = soak_verdict.judge(soaked, BOUNDS)
    assert not verdict.broken, (soaked / "errors.txt").read_text()[-3000:]
    numbers = verdict.numbers
    outages = numbers["outages"]
    assert set(outages) >= {*FAILURES, "resize"}
    assert {mode for mode, found in outages.items() if found["noticed"]} >= FAILURES
    assert numbers["kills"] == 1
    assert numbers["events"] > 50
    measured = [value for sample in soak_record.Soak(soaked).samples for value in sample["metrics"].values()]
    assert all(map(math.isfinite, measured))
    assert verdict.table in soak_page.page(soaked, verdict)


def has_told(events: Path, name: str) -> bool:
    return events.exists() and name in events.read_text()


def test_a_stop_while_a_camera_is_silent_is_in_good_order(tmp_path: Path) -> None:
    """Its reader hangs in OpenCV then, and an interpreter that ends meanwhile makes it abort the process."""
    cameras = [FlakyCamera(), FlakyCamera()]
    events = tmp_path / "events.jsonl"
    silenced: list[tuple[Mode, str]] = [("drop", "source_lost"), ("stall", "source_stalled")]
    words = ["--visible", cameras[0].url, "--thermal", cameras[1].url, "--headless", "--events", str(events)]
    with subprocess.Popen([*CHEAP, *words], env=os.environ | {"PYTHONPATH": str(soak.ROOT)}) as app:
        try:
            for mode, told in silenced:
                cameras[0].mode = mode
                assert wait_for(partial(has_told, events, told), 60.0)
            app.send_signal(signal.SIGTERM)
            assert app.wait(30.0) == 0
        finally:
            app.kill()
            for camera in cameras:
                camera.close()


def rewritten(source: Path, target: Path, change: Callable[[Entry], Entry | None]) -> Path:
    """A copy of a soak's folder whose record and events went through `change`; None leaves one out."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.outbox", "people*"))
    for name in ("record.jsonl", "events.jsonl"):
        entries = [change(json.loads(line)) for line in (source / name).read_text().splitlines()]
        (target / name).write_text("".join(json.dumps(entry) + "\n" for entry in entries if entry is not None))
    return target


def age_of(entry: Entry) -> float:
    """Seconds since the app's start."""
    return float(entry["metrics"]["uptime_seconds"])


def grows(entry: Entry) -> Entry:
    return entry | {"rss": 200.0 + age_of(entry)} if entry.get("kind") == "sample" else entry


def leaks(entry: Entry) -> Entry:
    return entry | {"handles": int(18.0 + 0.2 * age_of(entry))} if entry.get("kind") == "sample" else entry


def comes_late(entry: Entry) -> Entry:
    if entry.get("event") != "source_back":
        return entry
    return entry | {"wall_time": (datetime.fromisoformat(entry["wall_time"]) + timedelta(seconds=30)).isoformat()}


def never_comes(entry: Entry) -> Entry:
    return entry | {"event": "source_lost", "camera": "thermal"} if entry.get("event") == "stopped" else entry


def misses_one(entry: Entry) -> Entry | None:
    return None if entry.get("id", "").endswith("-000000009") else entry


def is_no_event(entry: Entry) -> Entry:
    return entry | {"box": [1.0]} if entry.get("event") == "track_lost" else entry


def receives_less(entry: Entry) -> Entry:
    return entry | {"ids": entry["ids"][:-1]} if entry.get("kind") == "received" else entry


def forgets_people(entry: Entry) -> Entry:
    return entry | {"people": []} if entry.get("kind") == "kill" else entry


def loses_a_line(entry: Entry) -> Entry:
    return entry | {"lost": 1} if entry.get("kind") == "kill" else entry


def is_silent(entry: Entry) -> Entry:
    return entry | {"health": 0, "metrics": {}} if entry.get("kind") == "sample" and entry["time"] % 9 < 1 else entry


def dies(entry: Entry) -> Entry:
    return entry | {"how": "exit code 1"} if entry.get("how") == "stopped" else entry


@pytest.mark.parametrize(
    ("change", "row"),
    [
        (grows, "memory"), (leaks, "file handles"), (comes_late, "camera failed again"),
        (never_comes, "losses that no event"), (misses_one, "events in the file"), (is_no_event, "events in the file"),
        (receives_less, "events at a receiver"),
        (forgets_people, "kill -9"), (loses_a_line, "kill -9"), (is_silent, "page asked"), (dies, "ends in good order"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_a_broken_promise_is_seen(
    change: Callable[[Entry], Entry | None], row: str, soaked: Path, tmp_path: Path
) -> None:
    broken = soak_verdict.judge(rewritten(soaked, tmp_path / "soak", change), BOUNDS).broken
    assert [line for line in broken if line.startswith(row)], broken


def test_a_camera_is_back_when_it_stays(tmp_path: Path) -> None:
    """Lost at once after its return, back, and lost again by a failure of its own: worked out by hand."""
    modes = [(0.0, "ok"), (10.0, "stall"), (15.0, "ok"), (30.0, "drop"), (33.0, "ok")]
    told = [(12.0, "source_stalled"), (15.2, "source_back"), (15.5, "source_lost"), (17.0, "source_back")]
    told += [(30.5, "source_lost"), (31.0, "source_back"), (32.0, "source_lost"), (39.0, "source_back")]
    record: list[Entry] = [
        {"kind": "plan", "time": 0.0, "seconds": 60.0, "cores": 2},
        {"kind": "ready", "time": 1.0, "wall": 1001.0},
        {"kind": "sample", "time": 2.0, "metrics": {"camera_up visible": 1.0, "camera_up thermal": 1.0}},
        *({"kind": "mode", "time": moment, "camera": "visible", "mode": mode} for moment, mode in modes),
        {"kind": "mode", "time": 0.0, "camera": "thermal", "mode": "ok"},
        {"kind": "end", "time": 60.0, "how": "stopped"},
    ]
    clock = [datetime.fromtimestamp(1000.0 + moment, timezone.utc).isoformat() for moment, _ in told]
    events = [
        {"run": "r", "event": name, "camera": "visible", "wall_time": wall}
        for (_, name), wall in zip(told, clock, strict=True)
    ]
    for name, entries in (("record.jsonl", record), ("events.jsonl", events)):
        (tmp_path / name).write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    returns, unprovoked = soak_record.returns_of(soak_record.Soak(tmp_path), 5.0)
    own = [(each.after, each.noticed, each.seconds) for each in returns if each.camera == "visible"]
    assert own == [("start", True, 1.0), ("stall", True, pytest.approx(2.0)), ("drop", True, pytest.approx(6.0))]
    assert unprovoked == 0
