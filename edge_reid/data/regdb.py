"""RegDB (Nguyen et al., Sensors 2017): one visible and one thermal camera, 412 people, ten splits in halves.

    ROOT/Visible/1/*.bmp   ROOT/Thermal/1/*.bmp
    ROOT/idx/{train,test}_{visible,thermal}_{1..10}.txt     lines "Visible/1/name.bmp 0"

Each split has its own training: a model of one split has seen most test people of the others.
"""

from __future__ import annotations

from pathlib import Path

from edge_reid.data.search import Search, Trial, every
from edge_reid.data.tree import read_list
from edge_reid.errors import UserError
from edge_reid.types import MODALITIES, Modality, Sample, other_modality

SPLITS = range(1, 11)


class RegDb:
    """The pictures and searches of one split of RegDB."""

    def __init__(self, root: Path, *, split: int = 1) -> None:
        """Take a split, 1 to 10; its lists are read when asked for.

        Raises:
            UserError: there is no such split.
        """
        if split not in SPLITS:
            raise UserError(f"--split {split}: RegDB has the splits {SPLITS[0]} to {SPLITS[-1]}")
        self.root, self.split = root, split
        self.label = f"RegDB split {split}"

    def train(self) -> list[Sample]:
        """The training pictures of this split, visible before thermal."""
        return [sample for modality in MODALITIES for sample in self._list("train", modality)]

    def query(self, modality: Modality) -> list[Sample]:
        """All test pictures of a modality."""
        return self._list("test", modality)

    def gallery(self, modality: Modality) -> list[Sample]:
        """All test pictures of a modality."""
        return self._list("test", modality)

    def searches(self) -> list[Search]:
        """Visible to thermal and thermal to visible; the gallery is everything, so a split is one trial."""
        searches = []
        for modality in MODALITIES:
            query, pool = self.query(modality), self.gallery(other_modality(modality))
            direction = f"{modality} -> {other_modality(modality)}"
            protocol = (
                f"RegDB, split {self.split} of {len(SPLITS)}, {direction}, {len(query)} "
                f"queries, gallery of all {len(pool)}"
            )
            searches.append(Search(query, pool, [Trial(every(query), every(pool))], "regdb", direction, protocol))
        return searches

    def _list(self, part: str, modality: Modality) -> list[Sample]:
        path = self.root / "idx" / f"{part}_{modality}_{self.split}.txt"
        camera = 1 + MODALITIES.index(modality)
        samples: list[Sample] = []
        labels: dict[int, str] = {}
        for name, label in read_list(path):
            person = Path(name).parent.name
            if not person.isdecimal():
                raise UserError(f"{path}: {name} does not lie in a folder named after an identity")
            if labels.setdefault(label, person) != person:
                raise UserError(f"{path}: label {label} is identity {labels[label]} and {person}; get the lists again")
            samples.append(Sample(self.root / name, int(person), camera, modality))
        return samples
