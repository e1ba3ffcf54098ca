"""Comparisons worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_up import ranked, record

from edge_reid.benchmark.compare import Comparison, compare, difference_table, read_record
from edge_reid.errors import UserError


def compared(before: dict[str, Any], after: dict[str, Any], **machine: Any) -> Comparison:
    old, new = (record(ranked("onnxruntime", "fp32", points=0, **facts)) for facts in (before, after))
    return compare(old, new.model_copy(update={"machine": new.machine | machine}))


def states(comparison: Comparison, what: str) -> set[str]:
    return {one.state for one in comparison.differences if one.what == what}


@pytest.mark.parametrize(
    ("before", "after", "spreads", "state"),
    [
        (10.0, 10.4, (0.0, 0.0), "same"),  # 4 %: less than 5 %
        (10.0, 10.6, (0.0, 0.0), "worse"),
        (10.0, 9.4, (0.0, 0.0), "better"),
        (10.0, 11.0, (0.03, 0.04), "same"),  # allowed 3 x hypot(0.3, 0.44) = 1.60 ms
        (10.0, 11.7, (0.03, 0.04), "worse"),  # allowed 3 x hypot(0.3, 0.468) = 1.67 ms
        (10.0, 11.6, (0.03, 0.04), "same"),  # allowed 3 x hypot(0.3, 0.464) = 1.66 ms
    ],
)
def test_a_median_is_slower_beyond_five_percent_and_beyond_the_noise(
    before: float, after: float, spreads: tuple[float, float], state: str
) -> None:
    old, new = ({"milliseconds": value, "spread": noise} for value, noise in zip((before, after), spreads, strict=True))
    assert states(compared(old, new), "p50 ms") == {state}


@pytest.mark.parametrize(("points", "state"), [(-0.4, "same"), (-0.6, "worse"), (0.6, "better")])
def test_rank_1_may_change_by_half_a_point(points: float, state: str) -> None:
    old, new = (record(ranked("onnxruntime", "int8", 5, value)) for value in (0.0, points))
    comparison = compare(old, new)
    assert states(comparison, "rank-1 %") == {state}
    assert states(comparison, "mAP %") == {"same"}
    assert len(comparison.worse) == 2 * (state == "worse"), "both directions"


@pytest.mark.parametrize(
    ("name", "before", "after", "what"),
    [
        ("peak_bytes", 100_000_000, 111_000_000, "RAM MB"),
        ("file_bytes", 1_000_000, 1_110_000, "MB"),
        ("cosine_p01", 0.995, 0.992, "cosine 1 %"),
    ],
)
def test_more_memory_a_larger_file_and_lower_cosines_are_worse(name: str, before: Any, after: Any, what: str) -> None:
    assert states(compared({"milliseconds": 1, name: before}, {"milliseconds": 1, name: after}), what) == {"worse"}
    assert states(compared({"milliseconds": 1, name: before}, {"milliseconds": 1, name: before}), what) == {"same"}


def test_a_row_that_does_not_run_any_more_is_worse_and_one_that_is_gone_is_told() -> None:
    old = record([*ranked("onnxruntime", "fp32", 2, 0), *ranked("openvino", "fp32", 2, 0)])
    broken = [row.model_copy(update={"error": "no", "p50_ms": None}) for row in ranked("onnxruntime", "fp32", 2, 0)]
    comparison = compare(old, record(broken))
    assert states(comparison, "runs") == {"worse"}
    assert "openvino fp32 visible batch 1: not measured any more" in comparison.notes


def test_on_another_machine_only_accuracies_are_compared() -> None:
    comparison = compared({"milliseconds": 1}, {"milliseconds": 9}, processor="beta")
    assert states(comparison, "p50 ms") == set()
    assert states(comparison, "rank-1 %") == {"same"}
    assert comparison.notes[0] == (
        "times and memory are not compared: the older run was on another machine (processor alpha)"
    )


def test_with_another_protocol_only_times_are_compared_and_with_neither_nothing() -> None:
    old, new = record(ranked("onnxruntime", "fp32", 1, 0)), record(ranked("onnxruntime", "fp32", 9, 9), data="others")
    comparison = compare(old, new)
    assert {one.what for one in comparison.differences} == {"p50 ms"}
    assert states(comparison, "p50 ms") == {"worse"}
    with pytest.raises(UserError, match="another machine and another protocol"):
        compare(old, new.model_copy(update={"machine": new.machine | {"threads": 1}}))


def test_other_libraries_are_told_and_compared_all_the_same() -> None:
    comparison = compared({"milliseconds": 1}, {"milliseconds": 2}, onnxruntime="2.0")
    assert comparison.notes == ["also different: onnxruntime 1.0 -> 2.0"]
    assert states(comparison, "p50 ms") == {"worse"}


def test_the_table_shows_what_changed_and_how_much_was_allowed() -> None:
    table = difference_table(compared({"milliseconds": 10.0}, {"milliseconds": 12.0}))
    assert table.rows == [
        [f"onnxruntime fp32 {modality} batch 1", "p50 ms", "10.0", "12.0", "+20% (5%)", "worse"]
        for modality in ("visible", "thermal")
    ]
    assert "(4 numbers stayed" in table.title, "rank-1 and mAP of both directions"


def test_an_older_record_must_be_one(tmp_path: Path) -> None:
    path = tmp_path / "benchmark.json"
    with pytest.raises(UserError, match=r"--compare .*benchmark\.json: No such file"):
        read_record(path)
    path.write_text("{}")
    with pytest.raises(UserError, match="no record of this version"):
        read_record(path)
    path.write_text(record(ranked("onnxruntime", "fp32", 1, 0)).model_dump_json())
    assert read_record(path).rows == ranked("onnxruntime", "fp32", 1, 0)
