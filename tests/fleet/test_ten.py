from __future__ import annotations

from pathlib import Path

from ten import PLACES, Scale, compare


def test_devices_that_are_killed_and_cut_off_leave_what_they_would_have_left_in_peace(tmp_path: Path) -> None:
    result = compare(tmp_path, 4.0, 5, Scale(PLACES[:2] + PLACES[-1:], 8))
    assert result["faults"]["kills"] == 8
    assert result["faults"]["cuts"] > 0
    assert (result["missing"], result["surplus"]) == ([], [])
    assert result["same"]
    assert result["people"] > 50
    assert sum(confirmed for *_, confirmed in result["forgotten"]) == sum(count for *_, count, _ in result["forgotten"])
