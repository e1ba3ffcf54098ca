"""Small archives, and the command on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq

from edge_reid.cli import main
from edge_reid.types import Modality


def draw(path: Path, seed: int, modality: Modality = "visible", size: tuple[int, int] = (60, 30)) -> Path:
    """A picture of somebody's clothes: the same seed is the same person."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 3, 3) if modality == "visible" else (6, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC))
    return path


def draw_all(folder: Path, count: int, modality: Modality = "visible") -> list[str]:
    """So many pictures of several sizes in two folders within one; their names, sorted."""
    names = [f"{'ab'[seed % 2]}/deep/{seed:04d}.png" for seed in range(count)]
    for seed, name in enumerate(names):
        draw(folder / name, seed, modality, (40 + seed % 7, 20 + seed % 5))
    return sorted(names)


def embed(archive: Path, out: Path, *words: object, modality: Modality = "visible") -> int:
    """Run the command in this process; its exit code."""
    return main(["embed", *map(str, (archive, "--out", out, "--modality", modality, *words))])


def read(out: Path) -> Any:
    """All parts as one table, in their order."""
    return pq.read_table(out)


def vectors(table: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """`(N, D)`"""
    column = table["vector"].combine_chunks()
    return np.asarray(column.flatten()).reshape(len(column), -1)


def parts(out: Path) -> list[str]:
    """The names of the parts."""
    return sorted(path.name for path in out.glob("part-*.parquet"))
