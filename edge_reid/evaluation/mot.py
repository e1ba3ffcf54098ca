"""People's boxes by frame, as text in the manner of the MOT challenge.

Shapes: N, M boxes of a frame, left, top, right, bottom in pixels. Frames count from 1.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from edge_reid.errors import UserError
from edge_reid.people.boxes import Boxes, intersection_over_union

LEAST_OVERLAP = 0.5
"""Intersection over union from which a track's box is that of a person."""

LEAST_VISIBILITY = 0.5
"""Share of a person in sight from which they may be asked to be found."""


@dataclass(frozen=True)
class NumberedBoxes:
    """The boxes of one frame: who `(N,)`, where `(N, 4)`, and the share in sight `(N,)` (ground truth only)."""

    numbers: NDArray[np.int64]
    corners: Boxes
    visibility: NDArray[np.float64]


def read_mot(path: Path) -> dict[int, NumberedBoxes]:
    """Boxes by frame from MOT text: frame, number, left, top, width, height, two more, and the share in sight.

    Raises:
        UserError: the file is missing or malformed, or a number is twice in a frame.
    """
    frames: defaultdict[int, list[list[float]]] = defaultdict(list)
    for row in read_rows(path, 9):
        frames[int(row[0])].append(row)
    boxes = {}
    for frame, rows in frames.items():
        table = np.array(rows)
        corners = np.concatenate([table[:, 2:4], table[:, 2:4] + table[:, 4:6]], axis=1).astype(np.float32)
        boxes[frame] = NumberedBoxes(table[:, 1].astype(np.int64), corners, table[:, 8])
        if len(np.unique(boxes[frame].numbers)) < len(rows):
            raise UserError(f"{path}: frame {frame} has a number twice; write the file again")
    return boxes


def read_rows(path: Path, columns: int) -> list[list[float]]:
    """The lines of a text file as numbers, `columns` or more in each.

    Raises:
        UserError: the file is missing or malformed.
    """
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        try:
            row = [float(value) for value in line.split(",")]
        except ValueError:
            row = []
        if len(row) < columns or not all(map(math.isfinite, row)):
            raise UserError(f"{path}:{number}: expected {columns} numbers separated by commas; write the file again")
        rows.append(row)
    return rows


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the folder") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not text; write the file again") from error


def same_boxes(first: Boxes, second: Boxes) -> list[tuple[int, int]]:
    """Rows of `(N, 4)` and `(M, 4)` that are the same box: one-to-one, overlapping by at least a half."""
    overlaps = intersection_over_union(first, second)
    chosen = linear_sum_assignment(np.where(overlaps >= LEAST_OVERLAP, overlaps, 0.0), maximize=True)
    return [(int(i), int(j)) for i, j in zip(*chosen, strict=True) if overlaps[i, j] >= LEAST_OVERLAP]
