"""A table of pictures: one's own pictures wherever they lie.

A .csv file with the columns path, identity, camera, modality, split, in any order; further columns are ignored. Paths
are relative to the table's folder, modality is visible or thermal, split is train or test.
"""

from __future__ import annotations

import csv
from pathlib import Path

from edge_reid.errors import UserError
from edge_reid.types import MODALITIES, Modality, Sample

COLUMNS = ("path", "identity", "camera", "modality", "split")
SPLITS = ("train", "test")


def read_table(path: Path) -> dict[tuple[str, Modality], list[Sample]]:
    """The pictures of a table by split and modality, in its order.

    Raises:
        UserError: a column is missing, or a line is malformed, or a picture is in it twice.
    """
    parts: dict[tuple[str, Modality], list[Sample]] = {(split, m): [] for split in SPLITS for m in MODALITIES}
    seen: set[Path] = set()
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or [])]:
                raise UserError(f"{path}: has no column {missing[0]}; it needs {', '.join(COLUMNS)}")
            for number, row in enumerate(reader, start=2):
                split, sample = _read_row(path, number, row)
                if sample.path in seen:
                    raise UserError(f"{path}:{number}: {row['path']} is in it twice; remove one")
                seen.add(sample.path)
                parts[split, sample.modality].append(sample)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as a table ({error}); save it as CSV in UTF-8") from error
    return parts


def _read_row(path: Path, number: int, row: dict[str, str]) -> tuple[str, Sample]:
    told = {name: (row[name] or "").strip() for name in COLUMNS}
    for name in ("identity", "camera"):
        if not told[name].isdecimal():
            raise UserError(f"{path}:{number}: {name} {told[name]!r} is not a number")
    modality = next((m for m in MODALITIES if m == told["modality"]), None)
    if modality is None:
        raise UserError(f"{path}:{number}: modality {told['modality']!r}; write visible or thermal")
    if told["split"] not in SPLITS:
        raise UserError(f"{path}:{number}: split {told['split']!r}; write train or test")
    picture = path.parent / told["path"]
    return told["split"], Sample(picture, int(told["identity"]), int(told["camera"]), modality)
