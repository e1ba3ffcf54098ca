"""Builders that run as processes of their own: one that crashes, or is killed for want of memory, ends alone."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from edge_reid.errors import CheckFailed, UserError

REFUSED = 2
"""Exit code of a process that says in one line what is wrong with what it was asked."""


def run_apart(words: Sequence[str | Path], *, text: str = "", cwd: Path | None = None) -> tuple[int, str, str]:
    """Run a process to its end: exit code, standard output, standard error.

    Args:
        words: the program and its arguments.
        text: its standard input.
        cwd: where it works.

    Raises:
        CheckFailed: it was killed.
    """
    done = subprocess.run(
        [str(word) for word in words],
        input=text,
        cwd=cwd,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode < 0:
        raise CheckFailed(
            f"the build was killed (signal {-done.returncode}), for want of memory most likely; close other programs, "
            "with TensorRT pass a smaller --workspace or --level"
        )
    return done.returncode, done.stdout, done.stderr


def answer_of(words: Sequence[str | Path], *, text: str = "") -> str:
    """What one of our own processes prints.

    Raises:
        UserError: it refused what it was asked, see `REFUSED`.
        CheckFailed: it was killed or crashed.
    """
    code, answer, errors = run_apart(words, text=text)
    if code == REFUSED:
        raise UserError(last_line(errors))
    if code:
        raise CheckFailed(f"the build ended with exit code {code}: {last_line(errors)}")
    return answer


def last_line(text: str) -> str:
    """What a program says last is mostly why it ended."""
    return (text.strip().splitlines() or ["no word of why"])[-1].strip()
