"""What an engine costs a process that does nothing else: its cold start and its memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from edge_reid.benchmark.rows import Kind
from edge_reid.engines.probe import READY
from edge_reid.errors import UserError
from edge_reid.types import Modality


class Cost(NamedTuple):
    """Of one engine in a process of its own."""

    cold_start_seconds: float
    """From the process's start to its first embedding, the files already in the system's cache."""
    peak_bytes: int
    """With the largest batch."""


def isolated(bundle: Path, kind: Kind, modality: Modality, batch: int) -> Cost:
    """Start Python, load one engine, embed one crop, then `batch` crops.

    Raises:
        UserError: the engine did not open there, or the process was killed.
    """
    words = [str(bundle), modality, kind.engine, kind.precision, str(batch)]
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", "edge_reid.engines.probe", *words],
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        )
        with process:
            lines = iter(process.stdout or ())
            line = next(lines, "")
            seconds = time.perf_counter() - began
            most = next(lines, "")
        complaints.seek(0)
        reason = (complaints.read().strip().splitlines() or [f"exit code {process.returncode}"])[-1]
    if process.returncode or line.strip() != READY or not most:
        raise UserError(f"{kind} {modality}: failed in a process of its own: {reason}")
    return Cost(seconds, int(most))
