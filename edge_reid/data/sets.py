"""The data sets by name."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, Protocol

from edge_reid.data.folder import FolderDataset
from edge_reid.data.llcm import Llcm
from edge_reid.data.regdb import RegDb
from edge_reid.data.search import TRIALS, Rule, Search
from edge_reid.data.sysu import Sysu
from edge_reid.errors import UserError
from edge_reid.types import Modality, Sample


class ReidData(Protocol):
    """Pictures of people to train on and to search."""

    root: Path

    @property
    def label(self) -> str:
        """What a checkpoint says it was trained on."""

    def train(self) -> list[Sample]:
        """All training pictures, visible before thermal."""

    def query(self, modality: Modality) -> list[Sample]:
        """All test pictures of a modality."""

    def gallery(self, modality: Modality) -> list[Sample]:
        """The test pictures of a modality that galleries are drawn from."""

    def searches(self) -> list[Search]:
        """The rows of the results table."""


_OWNERS = {
    "mode": "sysu", "shots": "sysu", "sampling": "sysu", "split": "regdb", "visible_search": "llcm",
    "rule": "folder", "trials": "folder",
}  # fmt: skip
"""The data set that an option is of."""


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which data set a folder holds, and which of its published protocols is meant."""

    data_set: Literal["folder", "sysu", "regdb", "llcm"] = "folder"
    """What DATA is: one's own pictures, SYSU-MM01, RegDB or LLCM."""
    mode: Literal["all", "indoor"] = "all"
    """sysu: search among all visible cameras, or the indoor ones."""
    shots: Literal[1, 10] = 1
    """sysu: gallery pictures per person and camera."""
    sampling: Literal["ye", "official"] = "ye"
    """sysu: who draws the gallery; results of the two are not comparable."""
    split: int = 1
    """regdb: 1 to 10, each with its own training."""
    visible_search: Literal["straight", "zyk"] = "straight"
    """llcm: how visible to thermal is meant; zyk searches with drawn infrared pictures among all visible ones."""
    rule: Rule = "regdb"
    """folder: which gallery pictures a query may see, and how CMC counts."""
    trials: int = TRIALS
    """folder: gallery draws."""

    def open(self, root: Path) -> ReidData:
        """The data set in `root`.

        Raises:
            UserError: it is not there or not whole, or an option belongs to another data set.
        """
        plain = DataOptions()
        for field in fields(self):
            owner = _OWNERS.get(field.name)
            if owner not in (None, self.data_set) and getattr(self, field.name) != getattr(plain, field.name):
                name = field.name.replace("_", "-")
                raise UserError(f"--{name}: is of --data-set {owner}, and this is {self.data_set}; leave it out")
        if self.data_set == "sysu":
            return Sysu(root, mode=self.mode, shots=self.shots, sampling=self.sampling)
        if self.data_set == "regdb":
            return RegDb(root, split=self.split)
        if self.data_set == "llcm":
            return Llcm(root, visible_search=self.visible_search)
        return FolderDataset(root, rule=self.rule, trials=self.trials)


def is_synthetic(data: ReidData) -> bool:
    """Whether the people are drawn."""
    return isinstance(data, FolderDataset) and data.is_synthetic
