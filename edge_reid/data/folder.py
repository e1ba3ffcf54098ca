"""The data folder: pictures of people in two modalities, sorted by identity.

    ROOT/train/visible/00042/c1_000.jpg    ROOT/train/thermal/00042/c3_001.jpg    ROOT/test/...
    ROOT/attributes.json                   optional: what is known of each identity
    ROOT/parts/train/visible/00042/c1_000.png   optional: which part of the body each pixel shows

A folder's name is the identity, a file's name starts with its camera. No identity is in train and test, and no camera
sees both modalities. Instead of a folder there may be a table, see `edge_reid.data.table`; what is optional lies beside
it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_reid.data.parts import PartLabels
from edge_reid.data.search import TRIALS, Rule, Search, single_shot_search
from edge_reid.data.table import read_table
from edge_reid.errors import UserError
from edge_reid.types import MODALITIES, Modality, Sample

Split = Literal["train", "test"]

_PICTURE = re.compile(r"c(\d+)_.*\.(jpg|jpeg|png|bmp)", re.IGNORECASE)


@dataclass(frozen=True)
class Attributes:
    """Categorical attributes of the identities of a data folder."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    """How many values each attribute can take."""
    values: dict[int, tuple[int, ...]]
    """Identity -> one value per attribute, 0 up to its size, -1 where it is unknown."""


class FolderDataset:
    """The pictures of a data folder, always in the same order."""

    def __init__(self, root: Path, *, rule: Rule = "regdb", trials: int = TRIALS) -> None:
        """Look at the folders' names; pictures are listed when asked for.

        Args:
            root: the folder, or a .csv file.
            rule: of its searches.
            trials: gallery draws of its searches.

        Raises:
            UserError: there is no such folder, it has neither train nor test, or they have an identity in common.
        """
        self.table = read_table(root) if root.suffix.lower() == ".csv" else None
        self.name = root.resolve().stem if self.table else root.resolve().name
        self.root = root = root.parent if self.table else root
        self.rule, self.trials = rule, trials
        if trials < 1:
            raise UserError(f"--trials {trials}: needs at least 1")
        if not root.is_dir():
            raise UserError(f"{root}: no such folder; give a data folder with train/ or test/ in it")
        folders = {split: root / split for split in ("train", "test")}
        if not self.table and not any(folder.is_dir() for folder in folders.values()):
            raise UserError(f"{root}: has neither train/ nor test/; say --data-set if it is sysu, regdb or llcm")
        both = self._identities("train") & self._identities("test")
        if both:
            raise UserError(f"{root}: identity {min(both)} is in train and in test; they must have none in common")

    @property
    def label(self) -> str:
        """The folder's name, and that its people are synthetic where they are."""
        return f"{self.name}{' (synthetic)' if self.is_synthetic else ''}"

    @property
    def is_synthetic(self) -> bool:
        """Whether `edge-reid synth` drew the people."""
        about = self.root / "dataset.json"
        try:
            return about.exists() and json.loads(about.read_text(encoding="utf-8")).get("synthetic") is True
        except (ValueError, AttributeError) as error:
            raise UserError(f"{about}: not what `edge-reid synth` wrote; draw the people again") from error

    def train(self) -> list[Sample]:
        """All training pictures, visible before thermal."""
        samples = [sample for modality in MODALITIES for sample in self._list("train", modality)]
        self._check_cameras(samples)
        return samples

    def query(self, modality: Modality) -> list[Sample]:
        """All test pictures of a modality."""
        return self._list("test", modality)

    def gallery(self, modality: Modality) -> list[Sample]:
        """All test pictures of a modality; the protocol draws from them."""
        return self._list("test", modality)

    def searches(self) -> list[Search]:
        """Thermal to visible and visible to thermal, single-shot."""
        thermal, visible = self.query("thermal"), self.query("visible")
        return [
            single_shot_search(query, pool, rule=self.rule, trials=self.trials, data=self.label)
            for query, pool in ((thermal, visible), (visible, thermal))
        ]

    def attributes(self) -> Attributes | None:
        """What ROOT/attributes.json says, None without one."""
        path = self.root / "attributes.json"
        return _read_attributes(path) if path.exists() else None

    def part_labels(self) -> PartLabels | None:
        """The label maps in ROOT/parts, None without them."""
        folder = self.root / "parts"
        return PartLabels(self.root, folder) if folder.is_dir() else None

    def _list(self, split: Split, modality: Modality) -> list[Sample]:
        if self.table is not None:
            if not self.table[split, modality]:
                raise UserError(
                    f"{self.name}.csv: holds no {modality} picture of {split}; {split} needs both modalities"
                )
            return self.table[split, modality]
        folder = self.root / split / modality
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; {split} needs visible/ and thermal/")
        samples = []
        for person in sorted(folder.iterdir()):
            if person.name.startswith("."):
                continue
            if not (person.is_dir() and person.name.isdecimal()):
                raise UserError(f"{person}: not a folder named after an identity number; rename or remove it")
            for path in sorted(person.iterdir()):
                if path.name.startswith("."):
                    continue
                match = _PICTURE.fullmatch(path.name)
                if match is None:
                    raise UserError(f"{path}: not named c<camera>_<anything>.jpg, .png or .bmp; rename or remove it")
                samples.append(Sample(path, int(person.name), int(match[1]), modality))
        if not samples:
            raise UserError(f"{folder}: holds no picture; expected <identity>/c<camera>_<anything>.jpg")
        return samples

    def _identities(self, split: Split) -> set[int]:
        if self.table is not None:
            return {sample.identity for modality in MODALITIES for sample in self.table[split, modality]}
        people = (person for modality in MODALITIES for person in (self.root / split / modality).glob("*"))
        return {int(person.name) for person in people if person.name.isdecimal()}

    def _check_cameras(self, samples: list[Sample]) -> None:
        cameras = {modality: {s.camera for s in samples if s.modality == modality} for modality in MODALITIES}
        both = cameras["visible"] & cameras["thermal"]
        if both:
            raise UserError(f"{self.root}: camera {min(both)} has visible and thermal pictures; number them apart")


def _read_attributes(path: Path) -> Attributes:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        attributes = Attributes(
            names=tuple(map(str, content["names"])),
            sizes=tuple(map(int, content["sizes"])),
            values={int(identity): tuple(map(int, row)) for identity, row in content["values"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise UserError(f"{path}: not a table of names, sizes and values ({error}); write it again") from error
    if len(attributes.names) != len(attributes.sizes):
        raise UserError(f"{path}: {len(attributes.names)} names but {len(attributes.sizes)} sizes; give one per name")
    for identity, row in attributes.values.items():
        if len(row) != len(attributes.sizes) or any(
            not -1 <= value < size for value, size in zip(row, attributes.sizes, strict=True)
        ):
            raise UserError(f"{path}: identity {identity} has {list(row)}, which the sizes do not allow")
    return attributes
