"""The page about what goes wrong names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`(?:\w+/)*(test_\w+\.py)::(test_\w+)`", (ROOT / "docs" / "complaints.md").read_text())
    assert len(named) > 20
    for file, name in named:
        (path,) = (ROOT / "tests").rglob(file)
        assert re.search(rf"^def {name}\(", path.read_text(), re.MULTILINE), f"{file}::{name}"
