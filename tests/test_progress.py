from __future__ import annotations

import pytest

from edge_reid.progress import PAGE, print_table

PLACE = "/var/lib/" + "/".join(f"folder-{number}" for number in range(20))
REMEDY = "make the environment with `python3 -m venv --system-site-packages`, for the system's own OpenCV " * 3


def test_what_is_longer_than_a_page_goes_on_in_the_next_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("", "where", "what to do"), [("opencv", PLACE, REMEDY)])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= PAGE
    told = "".join("".join(lines).split())
    assert "…" not in told
    assert sum(told.count(f"folder-{number}") for number in range(20)) > 15
