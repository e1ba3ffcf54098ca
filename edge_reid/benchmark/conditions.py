"""What makes the figures of a benchmark worth little: said in plain sentences beside them."""

from __future__ import annotations

from collections.abc import Sequence

from edge_reid.benchmark.rows import Row
from edge_reid.machine_state import ADAPTIVE_DRIVERS, MachineState

FAR = 1.5
"""The 90th percentile over the median from which a row was disturbed."""

DRIFTED = 0.1
"""Change between the first and the last rounds from which the machine was another one at the end."""

_HURRIED = ("performance", "balance_performance", "default")


def warnings(before: MachineState, after: MachineState, rows: Sequence[Row]) -> list[str]:
    """Why these rows are worth little, a sentence each; empty on a quiet machine."""
    return [*of_the_machine(before, after), *of_the_rows(rows)]


def of_the_machine(before: MachineState, after: MachineState) -> list[str]:
    """What happened to the machine between two moments, a sentence each."""
    return [*_busy_with_others(before, after), *_slowed_down(before, after)]


def _busy_with_others(before: MachineState, after: MachineState) -> list[str]:
    lines = []
    if before.load_average and before.processors and before.load_average > 0.5 * before.processors:
        lines.append(
            f"load average {before.load_average:g} on {before.processors} processors when it began: others were at "
            "work; measure on a quiet machine"
        )
    if before.processor_time and after.processor_time:
        first, last = before.processor_time, after.processor_time
        stolen = last.stolen - first.stolen
        busy, passed = last.busy - first.busy, last.busy + last.idle - first.busy - first.idle + stolen
        others = busy - (last.own - first.own)
        if passed > 0 and others > 0.1 * passed:
            lines.append(f"other programs took {others / passed:.0%} of the processors' time during the run")
        if passed > 0 and stolen > 0.02 * passed:
            lines.append(f"other virtual machines took {stolen / passed:.0%} of the processors' time")
    if after.available_mib is not None and after.available_mib < 256:
        lines.append(f"only {after.available_mib:.0f} MiB of memory are free: programs are moved to disk")
    if before.allowed_processors and before.processors and before.allowed_processors < before.processors:
        lines.append(
            f"the container may use {before.allowed_processors:g} of {before.processors} processors: threads that "
            "exceed that are stopped for a while; set EDGE_REID_THREADS"
        )
    return lines


def _slowed_down(before: MachineState, after: MachineState) -> list[str]:
    lines = [
        f"governor {governor}: the processor is kept slow; `sudo cpupower frequency-set -g performance`"
        for governor in before.governors
        if _keeps_slow(governor)
    ]
    if before.on_battery or after.on_battery:
        lines.append("on battery: the machine saves power; plug it in")
    if before.throttlings is not None and after.throttlings is not None and after.throttlings > before.throttlings:
        lines.append(
            f"processors were slowed down for heat {after.throttlings - before.throttlings} times; cool the machine"
        )
    if after.cooling:
        lines.append(f"brakes against heat are on: {', '.join(after.cooling)}; cool the machine")
    elif after.celsius is not None and after.celsius >= 85:
        lines.append(f"the hottest sensor shows {after.celsius:.0f} °C: processors slow down soon; cool the machine")
    if before.power_mode is not None and before.fixed_clocks is False:
        lines.append("clocks follow the load; `sudo jetson_clocks` fixes them while you measure")
    return lines


def _keeps_slow(governor: str) -> bool:
    name, _, rest = governor.partition(" (")
    driver, _, preference = rest.rstrip(")").partition(", ")
    if driver in ADAPTIVE_DRIVERS:
        return preference not in ("", *_HURRIED)
    return name == "powersave"


def of_the_rows(rows: Sequence[Row]) -> list[str]:
    """What the timings say of themselves."""
    timed = [row for row in rows if row.p50_ms is not None]
    lines = []
    spread = [(row.p90_ms / row.p50_ms, row) for row in timed if row.p50_ms and row.p90_ms]
    far = [(ratio, row) for ratio, row in spread if ratio > FAR]
    if far:
        row = max(far, key=lambda one: one[0])[1]
        lines.append(
            f"in {len(far)} of {len(timed)} rows the 90th percentile is more than {FAR:g} times the median "
            f"({row.label}: {row.p90_ms:.2f} against {row.p50_ms:.2f} ms): something disturbed them"
        )
    drifted = [row for row in timed if row.drift is not None and abs(row.drift) > DRIFTED]
    if drifted:
        row = max(drifted, key=lambda one: abs(one.drift or 0))
        lines.append(
            f"in {len(drifted)} of {len(timed)} rows the last rounds differ from the first by more than {DRIFTED:.0%} "
            f"({row.label}: {row.drift:+.0%}): the machine became another one meanwhile"
        )
    restless = [row for row in timed if not row.settled]
    if restless:
        lines.append(f"{len(restless)} of {len(timed)} rows did not settle while warming up ({restless[0].label})")
    return lines
