"""The page of a soak's result, as docs/soak.md has it."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from soak_verdict import Soak, Verdict

WORDS = {
    "drop": "closes after five pictures, and again",
    "freeze": "repeats one picture",
    "garbage": "sends noise",
    "refuse": "is not there",
    "resize": "sends pictures of half the size",
    "stall": "stays silent",
    "start": "works when the app starts",
}

LEAST_SECONDS = 3600.0

SHORT = "**This run was too short to say that memory does not grow**: that takes an undisturbed hour at least. "

PAGE = """# Soak

The app for hours with two cameras that fail in every way a cable, a switch or a bad firmware does, and with a receiver
of events that is away half of the time. This page was written by the run itself:

```sh
python tests/apps/soak.py --minutes {planned:.0f} --seed {seed} --kills {kills} --out runs/soak \\
  --document docs/soak.md        # or, for what lies there already: --again --out runs/soak --document docs/soak.md
```

{duration} Begun {began} UTC on {machine}, no GPU,
with edge-reid {version}; the machine had other work meanwhile (its load is in the last table). Two films of 640 x 480
with eight people, {rate:g} frames per second from each camera, the carried INT8 bundle, and the options
`--detector motion`, `--homography`, `--gallery`, `--events`, `--webhook`, and `--web` with somebody who looks at the
picture, at `/healthz` and at `/metrics` once a second.

## Promises

{table}
Memory, threads and handles are those of the first process, which ran for {undisturbed:.0f} minutes before {first_end};
warm-up is its first tenth, one minute at least. Threads and handles are compared while both cameras are up. A kill is
`kill -9` at a random moment, and the app is started again at once.

## Cameras

Each camera works for 6 to 14 seconds and then fails for 2 to 10, in all ways before one comes again. Seconds count from
the moment when the camera works again to the app's `source_back`, or from the app's start where that is later.

| what the camera does | times | noticed | median | longest |
|---|---|---|---|---|
{outages}

Not noticed are silences under 2 s and repeated pictures under the `frozen=2` that both sources had. OpenCV scales
pictures of another size to the old one, so nothing is lost there.

## Memory, part by part

Ten equal parts of the first process after its warm-up: medians, and the 95th percentile from capture to decision (`-`:
not measured).

| from minute | memory, MB | threads | file handles | people known | latency, ms | load of the machine |
|---|---|---|---|---|---|---|
{course}

{slope}

## In continuous integration

`tests/apps/test_soak.py` does the same in about a minute, with a network that costs nothing, twice as many failures a
minute and one kill. It allows what a busy machine needs: 10 s to be back, 6 MB more, 3 s for what is committed, and
threads and handles two apart.
"""


def page(out: Path, verdict: Verdict) -> str:
    """What there is to say about the soak in a folder."""
    soak, numbers = Soak(out), verdict.numbers
    plan, ran = soak.plan, numbers["seconds"] / 60.0
    planned = plan["seconds"] / 60.0
    return PAGE.format(
        planned=planned, seed=plan["seed"], kills=plan["kills"], rate=plan["rate"], machine=plan["machine"],
        version=version("edge-reid"), table=verdict.table, undisturbed=numbers["undisturbed"] / 60.0,
        duration=f"**It ran for {ran:.0f} minutes** of the {planned:.0f} that were asked for.",
        began=f"{datetime.fromtimestamp(plan['wall'], timezone.utc):%Y-%m-%d %H:%M}",
        first_end={"killed": "the first kill", "stopped": "it was stopped"}.get(soak.runs[0].how, "this was written"),
        outages="\n".join(_outage(mode, numbers["outages"][mode]) for mode in WORDS if mode in numbers["outages"]),
        course="\n".join(f"| {' | '.join(map(_number, part.values()))} |" for part in numbers["course"]),
        slope=(SHORT if numbers["undisturbed"] < LEAST_SECONDS else "")
        + f"A line through all samples rises by {numbers['rss_slope_per_hour']:.1f} MB an hour; "
        f"the highest was {numbers['rss_max']:.0f} MB.",
    )  # fmt: skip


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:g}"


def _outage(mode: str, found: dict[str, float]) -> str:
    seconds = [f"{found[key]:.1f} s" if key in found else "" for key in ("median", "max")]
    return f"| {WORDS[mode]} | {found['times']} | {found['noticed']} | {' | '.join(seconds)} |"
