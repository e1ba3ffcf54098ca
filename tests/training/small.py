"""A training that takes seconds, and what to do with it."""

from __future__ import annotations

import csv
import os
import signal
import threading
import time
from pathlib import Path

from edge_reid.recipes.sdm_mgim import SdmMgim
from edge_reid.training.run import Plan

RECIPE = SdmMgim(
    width=0.25, granularities=(2,), part_dim=16, size=(64, 32), identities=3, pictures=2, shares=(0.5, 0.5)
)
PLAN = Plan(epochs=4, steps_per_epoch=3)


def rows(out: Path) -> list[dict[str, str]]:
    """The log but for what depends on the clock."""
    with (out / "log.csv").open() as file:
        found = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in found]


def interrupt_after_first_epoch(out: Path) -> threading.Thread:
    """Ctrl-C as soon as the first epoch is written down, that is somewhere in the second."""

    def wait() -> None:
        while not (out / "log.csv").exists():
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread
