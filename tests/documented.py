"""The command lines that the README and the demo show."""

from __future__ import annotations

import shlex
from pathlib import Path

from edge_reid.demo import steps

_README = (Path(__file__).parents[1] / "README.md").read_text().replace("\\\n", "")
_LINES = [line.split("#")[0].strip() for line in _README.splitlines()] + [step.command for step in steps(Path("demo"))]


def calls_of(program: str) -> list[list[str]]:
    """The words after `program` in every line that begins with it."""
    return [shlex.split(line)[1:] for line in _LINES if line.startswith(f"{program} ")]


def calls_of_script(name: str) -> list[list[str]]:
    """The words after the script of this name, wherever it lies."""
    return [words for script, *words in calls_of("python") if Path(script).name == name]
