"""People made of random vectors, and galleries for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_reid.gallery.base import Prototype
from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.types import Modality

DIMENSION = 32
SPACE = "0123456789abcdef"
NOW = 4_000_000_000.0
"""Later than any of these tests is run: with the clock of the machine nobody has expired."""


def unit(random: np.random.Generator, count: int = 1) -> NDArray[np.float32]:
    vectors = random.standard_normal((count, DIMENSION)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def look(
    random: np.random.Generator, modality: Modality = "visible", *, quality: float = 1.0, time: float = NOW
) -> Prototype:
    return Prototype(modality, unit(random)[0], quality, time)


@contextmanager
def gallery(path: Path | None, **options: Any) -> Iterator[SqliteGallery]:
    chosen = {"space": SPACE, "dimension": DIMENSION, "clock": lambda: NOW} | options
    with closing(SqliteGallery(path, **chosen)) as opened:
        yield opened


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())
