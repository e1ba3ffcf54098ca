"""Whether the app kept its promises in a soak."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from soak_record import AWAY, Return, Soak, is_up, moment_of, returns_of

from edge_reid.cameras.live import MOST_LEFT
from edge_reid.errors import UserError
from edge_reid.events.schema import parse
from edge_reid.types import MODALITIES

PARTS = 5
"""Memory is compared between the first and the last of so many equal parts."""


@dataclass(frozen=True)
class Bounds:
    """What is promised, and how much more a machine that has other work needs."""

    back_seconds: float = 5.0
    growth: float = 0.02
    growth_megabytes: float = 0.0
    """Growth that is allowed even where it is more than that share."""
    missed: int = 0
    """Times that a camera may fail again before the app has it back, where that is sooner."""
    commit_seconds: float = 1.0
    warm_up: float = 60.0
    """Seconds at least; a tenth of the undisturbed time where that is more."""
    medians_apart: float = 0.0
    """Threads and file handles, between the first and the last part."""


@dataclass(frozen=True)
class Row:
    """One promise."""

    name: str
    measured: str
    bound: str
    kept: bool


@dataclass(frozen=True)
class Verdict:
    """All promises, and numbers behind them."""

    rows: list[Row]
    numbers: dict[str, Any]

    @property
    def broken(self) -> list[str]:
        return [f"{row.name}: {row.measured}; promised: {row.bound}" for row in self.rows if not row.kept]

    @property
    def table(self) -> str:
        lines = ["| what | measured | promised | kept |", "|---|---|---|---|"]
        lines += [f"| {row.name} | {row.measured} | {row.bound} | {'yes' if row.kept else 'NO'} |" for row in self.rows]
        return "\n".join(lines) + "\n"


def judge(out: Path, bounds: Bounds | None = None) -> Verdict:
    """All promises against what is in a folder."""
    bounds = bounds or Bounds()
    soak = Soak(out)
    returns, unprovoked = returns_of(soak, bounds.back_seconds)
    steady = steady_samples(soak, bounds)
    numbers: dict[str, Any] = {"seconds": round(soak.runs[-1].end - soak.runs[0].ready, 1), "outages": by_mode(returns)}
    numbers |= {"undisturbed": round(soak.runs[0].end - soak.runs[0].ready, 1)}
    rows = [
        *rows_of_returns(returns, unprovoked, soak, bounds, numbers),
        *rows_of_memory(steady, bounds, numbers),
        *rows_of_process(steady, soak.plan["cores"], bounds, numbers),
        *rows_of_events(soak, numbers),
        *rows_of_kills(soak, bounds, numbers),
        *rows_of_health(soak, numbers),
    ]
    return Verdict(rows, numbers | {"course": course(steady), "kept": all(row.kept for row in rows)})


def steady_samples(soak: Soak, bounds: Bounds) -> list[dict[str, Any]]:
    """Of the first process, once it is warm."""
    run = soak.runs[0]
    warm = run.ready + max(bounds.warm_up, 0.1 * (run.end - run.ready))
    return [sample for sample in soak.samples if warm <= sample["time"] < run.end]


def by_mode(returns: Iterable[Return]) -> dict[str, dict[str, float]]:
    """Of each failure: how many, how many of them the app noticed, and seconds until the camera was back."""
    found: dict[str, dict[str, float]] = {}
    for mode in sorted({each.after for each in returns}):
        own = [each for each in returns if each.after == mode]
        seconds = [each.seconds for each in own if each.noticed and each.seconds is not None]
        found[mode] = {"times": len(own), "noticed": sum(each.noticed for each in own)}
        if seconds:
            found[mode] |= {"median": round(float(np.median(seconds)), 2), "max": round(max(seconds), 2)}
    return found


def rows_of_returns(
    returns: list[Return], unprovoked: int, soak: Soak, bounds: Bounds, numbers: dict[str, Any]
) -> Iterator[Row]:
    """Cameras come back."""
    seconds = [each.seconds for each in returns if each.noticed and each.seconds is not None]
    p95, longest = (float(np.percentile(seconds, part)) if seconds else math.inf for part in (95, 100))
    missed = sum(each.seconds is None for each in returns)
    numbers |= {"back_p95": p95, "back_max": longest, "unprovoked": unprovoked, "missed": missed}
    text = f"{len(seconds)} times; 95 % within {p95:.1f} s, all within {longest:.1f} s"
    yield Row("camera back after its return", text, f"{bounds.back_seconds:g} s", longest <= bounds.back_seconds)
    yield Row("camera failed again before", f"{missed} times", f"{bounds.missed}", missed <= bounds.missed)
    yield Row("cameras lost that worked", str(unprovoked), "0", unprovoked == 0)
    open_ends = 0
    for run, events in zip(soak.runs, soak.by_run.values(), strict=False):
        for camera in MODALITIES:
            names = [event["event"] for event in events if event.get("camera") == camera]
            states = [name for name in names if name in (*AWAY, "source_back")]
            open_ends += run.how != "killed" and bool(states) and states[-1] != "source_back"
    yield Row("losses that no event ends", str(open_ends), "0", open_ends == 0)


def rows_of_memory(steady: list[dict[str, Any]], bounds: Bounds, numbers: dict[str, Any]) -> Iterator[Row]:
    """Memory does not grow."""
    first, last = (float(np.median([sample["rss"] for sample in part])) for part in _ends(steady))
    moments, sizes = (np.array([sample[key] for sample in steady]) for key in ("time", "rss"))
    slope = 3600.0 * float(np.polyfit(moments - moments[0], sizes, 1)[0])
    allowed = max(bounds.growth * first, bounds.growth_megabytes)
    numbers |= {"rss_first": first, "rss_last": last, "rss_slope_per_hour": slope, "rss_max": float(sizes.max())}
    text = f"{first:.1f} to {last:.1f} MB ({(last - first) / first:+.1%}); fitted {slope:+.1f} MB an hour"
    bound = f"{bounds.growth:.0%} more" + (f" or {bounds.growth_megabytes:g} MB" if bounds.growth_megabytes else "")
    yield Row("memory after warm-up, first and last fifth", text, bound, last - first <= allowed)


def rows_of_process(steady: list[dict[str, Any]], cores: int, bounds: Bounds, numbers: dict[str, Any]) -> Iterator[Row]:
    """Neither do threads and file handles."""
    readers = len(MODALITIES) * (1 + MOST_LEFT)
    # each reader holds a connection; a decoder has a thread for each core, and the receiver and a viewer may come by
    spreads = {"threads": readers * (1 + cores), "handles": readers + 4}
    whole = [sample for sample in steady if all(is_up(sample, camera) for camera in MODALITIES)]
    for what, name in (("threads", "threads"), ("handles", "file handles")):
        first, last = (float(np.median([sample[what] for sample in part])) for part in _ends(whole))
        counts = [sample[what] for sample in steady]
        numbers |= {f"{what}_first": first, f"{what}_last": last, f"{what}_range": [min(counts), max(counts)]}
        text = f"{first:g} and {last:g}; from {min(counts)} to {max(counts)} while cameras come and go"
        bound = f"the same; {spreads[what]} apart at most"
        kept = abs(last - first) <= bounds.medians_apart and max(counts) - min(counts) <= spreads[what]
        yield Row(f"{name}, first and last fifth", text, bound, kept)


def rows_of_events(soak: Soak, numbers: dict[str, Any]) -> Iterator[Row]:
    """Events are whole, and reach the receiver."""
    wrong = sum(not _is_event(line) for line in soak.lines)
    ids = [event["id"] for event in soak.events]
    gapless = all(
        [int(event["id"].rpartition("-")[2]) for event in events] == list(range(1, len(events) + 1))
        for events in soak.by_run.values()
    )
    kept = wrong == 0 and gapless and len(set(ids)) == len(ids) and len(soak.by_run) == len(soak.runs)
    numbers |= {"events": len(ids), "runs": len(soak.runs)}
    text = f"{len(ids)} of {len(soak.by_run)} runs, numbers {'without' if gapless else 'WITH'} a gap"
    text += f", {len(ids) - len(set(ids))} doubled, {wrong} not of the schema"
    yield Row("events in the file", text, "no gap, none doubled, all of the schema", kept)
    for received in soak.kinds["received"]:
        missing, strange = set(ids) - set(received["ids"]), set(received["ids"]) - set(ids)
        text = f"{len(received['ids'])}; {len(missing)} missing, {len(strange)} not in the file"
        text += f"; {received['repeated']} sent twice under one id"
        numbers |= {"missing_at_receiver": len(missing), "repeated_to_receiver": received["repeated"]}
        yield Row("events at a receiver that is away half the time", text, "each, by id once", not missing | strange)


def rows_of_kills(soak: Soak, bounds: Bounds, numbers: dict[str, Any]) -> Iterator[Row]:
    """What was there before a kill is there after it."""
    kills = soak.kinds["kill"]
    if not kills:
        return
    lost_lines, expected, lost_people = 0, 0, 0
    for kill in kills:
        events = soak.events[: kill["lines"]]
        merged = {event["was"] for event in events if event["event"] == "person_merged"}
        latest = kill["wall"] - bounds.commit_seconds
        new = [event for event in events if event["event"] == "person_new"]
        known = {event["person"] for event in new if moment_of(event["wall_time"]) <= latest} - merged
        lost_lines += kill["lost"]
        expected += len(known)
        lost_people += len(known - set(kill["people"]))
    numbers |= {"kills": len(kills), "lost_lines": lost_lines, "lost_people": lost_people}
    text = f"{len(kills)} kills: {lost_lines} lines of events and {lost_people} of {expected} people lost"
    bound = f"none of what was {bounds.commit_seconds:g} s old; the gallery opens"
    yield Row("kill -9", text, bound, lost_lines == lost_people == 0)


def rows_of_health(soak: Soak, numbers: dict[str, Any]) -> Iterator[Row]:
    """The app lives, answers and ends."""
    silent = sum(sample["health"] not in (200, 503) for sample in soak.samples)
    numbers |= {"samples": len(soak.samples), "unanswered": silent}
    yield Row("page asked each second", f"{len(soak.samples)} times, {silent} without an answer", "0", silent == 0)
    ends = [run.how for run in soak.runs if run.how != "killed"]
    crashes = soak.errors.count("Traceback") + soak.errors.count("terminate called")
    text = f"{', '.join(ends) or 'killed'}; {crashes} crashes in its log"
    yield Row("ends in good order", text, "stopped, no crash", ends == ["stopped"] and not crashes)


def course(steady: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Ten equal parts of the undisturbed time."""
    parts = [part for part in np.array_split(np.array(steady, dtype=object), 10) if len(part)]
    return [
        {
            "minute": round((part[0]["time"] - steady[0]["time"]) / 60.0, 1),
            **{
                key: round(float(np.median([sample[key] for sample in part])), 1)
                for key in ("rss", "threads", "handles")
            },
            "people": max(sample["metrics"].get("gallery_size", 0.0) for sample in part),
            "latency_ms": round(1e3 * part[-1]["metrics"].get("latency_seconds 0.95", 0.0), 1),
            "load": round(float(np.median([sample["load"] for sample in part])), 1),
        }
        for part in parts
    ]


def _ends(samples: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    size = max(1, len(samples) // PARTS)
    return samples[:size], samples[-size:]


def _is_event(line: bytes) -> bool:
    try:
        parse(line)
    except UserError:
        return False
    return True
