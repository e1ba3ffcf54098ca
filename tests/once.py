"""What is expensive to make and the same for all of pytest-xdist's workers is made by the first that needs it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

try:
    import fcntl
except ImportError:  # not on Windows: every worker makes its own there
    fcntl = None  # type: ignore[assignment]


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder of this worker's own with what `make` writes at the path that it is given.

    A copy, so that what a test does to it reaches no test that runs meanwhile.
    """
    out = factory.mktemp(name) / name
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None or fcntl is None:
        make(out)
        return out
    common = factory.getbasetemp().parent / "made-once"
    common.mkdir(exist_ok=True)
    made = common / name
    with _alone(common / f"{name}.lock"):
        if not made.exists():
            unfinished = common / f"{name}.{worker}"
            make(unfinished)
            unfinished.rename(made)
    shutil.copytree(made, out)
    return out


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """The system lets go of a lock whose process was killed, so nobody waits for ever."""
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
