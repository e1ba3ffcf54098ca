from __future__ import annotations

from typing import Any

import pytest
from made_up import rows

from edge_reid.benchmark.conditions import of_the_machine, of_the_rows
from edge_reid.machine_state import MachineState, ProcessorTime

QUIET: dict[str, Any] = {"processors": 4, "load_average": 0.1, "governors": ("performance",), "on_battery": False}


def said(before: dict[str, Any], after: dict[str, Any] | None = None) -> list[str]:
    first, last = MachineState(**QUIET | before), MachineState(**QUIET | (before if after is None else after))
    return of_the_machine(first, last)


def test_a_quiet_machine_needs_no_words() -> None:
    assert said({}) == []
    assert said({"throttlings": 4, "celsius": 60.0, "available_mib": 4000.0, "allowed_processors": 4.0}) == []


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"load_average": 2.5}, None, "load average 2.5 on 4 processors"),
        ({"governors": ("powersave",)}, None, "governor powersave"),
        ({"governors": ("powersave (intel_pstate, power)",)}, None, "governor powersave"),
        ({"on_battery": True}, None, "on battery"),
        ({"throttlings": 4}, {"throttlings": 6}, "slowed down for heat 2 times"),
        ({}, {"cooling": ("Processor 2 of 10",)}, "brakes against heat are on: Processor 2 of 10"),
        ({}, {"celsius": 91.0}, "the hottest sensor shows 91"),
        ({}, {"available_mib": 100.0}, "only 100 MiB"),
        ({"allowed_processors": 1.5}, None, "may use 1.5 of 4 processors"),
        ({"power_mode": "15W", "fixed_clocks": False}, None, "sudo jetson_clocks"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_makes_figures_worthless_is_said(before: dict[str, Any], after: dict[str, Any] | None, words: str) -> None:
    lines = said(before, after)
    assert len(lines) == 1 and words in lines[0], lines


@pytest.mark.parametrize("governor", ["powersave (intel_pstate, balance_performance)", "schedutil", "ondemand"])
def test_governors_that_follow_the_load_are_no_reason(governor: str) -> None:
    assert said({"governors": (governor,)}) == []


def test_what_others_took_is_the_busy_time_that_is_not_our_own() -> None:
    first = ProcessorTime(busy=100, idle=100, stolen=0, own=10)
    ours = ProcessorTime(busy=150, idle=150, stolen=0, own=60)
    assert said({"processor_time": first}, {"processor_time": ours}) == []
    theirs = ProcessorTime(busy=150, idle=145, stolen=5, own=30)  # 100 s passed, 30 of them busy with others
    assert said({"processor_time": first}, {"processor_time": theirs}) == [
        "other programs took 30% of the processors' time during the run",
        "other virtual machines took 5% of the processors' time",
    ]


def test_rows_that_were_disturbed_are_counted_and_the_worst_is_named() -> None:
    calm = rows("onnxruntime", "fp32", 2, spread=0.01, drift=0.05)
    assert of_the_rows(calm) == []
    far = [row.model_copy(update={"p90_ms": 4.0}) for row in rows("openvino", "fp32", 2)]
    assert of_the_rows([*calm, *far]) == [
        "in 2 of 4 rows the 90th percentile is more than 1.5 times the median (openvino fp32 visible batch 1: 4.00 "
        "against 2.00 ms): something disturbed them"
    ]
    drifting = rows("openvino", "int8", 2, drift=-0.25, settled=False)
    assert of_the_rows([*calm, *drifting]) == [
        "in 2 of 4 rows the last rounds differ from the first by more than 10% (openvino int8 visible batch 1: -25%): "
        "the machine became another one meanwhile",
        "2 of 4 rows did not settle while warming up (openvino int8 visible batch 1)",
    ]
