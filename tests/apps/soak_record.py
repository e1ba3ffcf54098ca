"""What `soak.py` left in a folder: the app's runs, its events, and when it had its cameras.

All times are seconds of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from edge_reid.types import MODALITIES

AWAY = ("source_lost", "source_stalled")


@dataclass(frozen=True)
class Run:
    """One process of the app."""

    ready: float
    end: float
    how: str
    wall: float
    """What the clock of the day shows at second 0 of the monotonic one."""


@dataclass(frozen=True)
class Return:
    """A camera that works while the app runs: after which failure, and how long it took the app to have it back."""

    camera: str
    after: str
    noticed: bool
    seconds: float | None
    """None where the camera failed again before."""


class Soak:
    """What a folder holds."""

    def __init__(self, out: Path) -> None:
        entries = [json.loads(line) for line in (out / "record.jsonl").read_text().splitlines() if line.endswith("}")]
        self.kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for entry in sorted(entries, key=lambda entry: entry["time"]):
            self.kinds[entry["kind"]].append(entry)
        self.plan = self.kinds["plan"][0]
        self.samples = self.kinds["sample"]
        last = max(entry["time"] for entry in entries)
        ends = [*self.kinds["end"], {"time": last, "how": "goes on"}]
        starts = self.kinds["ready"]
        self.runs = [
            Run(a["time"], b["time"], b["how"], a["wall"] - a["time"]) for a, b in zip(starts, ends, strict=False)
        ]
        self.lines = lines_of(out)
        self.events = [json.loads(line) for line in self.lines]
        self.by_run: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for event in self.events:
            self.by_run[event["run"]].append(event)
        self.errors = (out / "errors.txt").read_text(errors="replace") if (out / "errors.txt").exists() else ""


def lines_of(out: Path) -> list[bytes]:
    """The lines of all files of events, with their ends, the oldest first."""
    files = [file for file in (*sorted(out.glob("events.0*.jsonl")), out / "events.jsonl") if file.exists()]
    return [line for file in files for line in file.read_bytes().splitlines(keepends=True)]


def returns_of(soak: Soak, patience: float) -> tuple[list[Return], int]:
    """Every time that a camera began to work or the app began while it did; and losses while a camera worked."""
    returns, unprovoked = [], 0
    for run, events in zip(soak.runs, soak.by_run.values(), strict=False):
        for camera in MODALITIES:
            gaps = gaps_of(run, events, soak.samples, camera)
            for begin, end, before, mode in working(soak.kinds["mode"], camera):
                start, stop = max(begin, run.ready), min(end, run.end)
                if start >= stop:
                    continue
                mine = [gap for gap in gaps if gap[1] > start and gap[0] < min(start + patience, stop)]
                unprovoked += sum(start + patience <= gap[0] < stop for gap in gaps)
                back = max((gap[1] for gap in mine), default=start)
                if back > stop == run.end < end and stop - start < patience:
                    continue  # nobody waited for it
                seconds = back - start if back <= stop else stop - start if stop - start >= patience else None
                noticed = bool(mine) or any(gap[1] > before and gap[0] < begin for gap in gaps)
                returns.append(Return(camera, mode if begin > run.ready else "start", noticed, seconds))
    return returns, unprovoked


def gaps_of(
    run: Run, events: Sequence[dict[str, Any]], samples: Sequence[dict[str, Any]], camera: str
) -> list[tuple[float, float]]:
    """When the app did not have a camera: from, to (infinite where the run ends so)."""
    told = [
        (moment_of(event["wall_time"]) - run.wall, event["event"]) for event in events if event.get("camera") == camera
    ]
    seen = [sample["time"] for sample in samples if run.ready <= sample["time"] <= run.end and is_up(sample, camera)]
    # that a camera is there for the first time is no event
    first = min([*seen, *(moment for moment, _ in told)], default=math.inf)
    gaps, since = [(run.ready, first)], None
    for moment, name in told:
        if name in AWAY and since is None:
            since = moment
        elif name == "source_back" and since is not None:
            gaps.append((since, moment))
            since = None
    return gaps if since is None else [*gaps, (since, math.inf)]


def working(modes: Iterable[dict[str, Any]], camera: str) -> Iterator[tuple[float, float, float, str]]:
    """When a camera worked: from, to, since when it had failed, and how."""
    own = [(entry["time"], entry["mode"]) for entry in modes if entry["camera"] == camera]
    changes = [next(group) for _, group in groupby(own, key=lambda change: change[1])]
    for (before, failure), (begin, mode), (end, _) in zip(
        [(-math.inf, "start"), *changes], changes, [*changes[1:], (math.inf, "")], strict=False
    ):
        if mode == "ok":
            yield begin, end, before, failure


def is_up(sample: dict[str, Any], camera: str) -> bool:
    return bool(sample["metrics"].get(f"camera_up {camera}"))


def moment_of(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
