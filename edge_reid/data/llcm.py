"""LLCM (Zhang and Wang, CVPR 2023): nine cameras in low light, 1,064 people, visible and near infrared.

    ROOT/vis/0001/*.jpg   ROOT/nir/0001/*_c06_*.jpg          training, named by idx/train_{vis,nir}.txt "path label"
    ROOT/test_vis/cam1 .. cam9/0001/*.jpg                    test, identities in idx/test_id.txt
    ROOT/test_nir/cam1, cam2, cam4 .. cam9/0001/*.jpg        the infrared camera 3 has no pictures

Visible to thermal is published in two ways under one name. "straight": all visible pictures search in a drawn infrared
gallery. "zyk": drawn infrared pictures search among all visible ones, as the authors' test script does since June 2023;
its rank-1 is several points higher and its mAP lower.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from edge_reid.data.search import TRIALS, Search, Trial, every, one_of_each
from edge_reid.data.tree import pictures, read_list, read_numbers
from edge_reid.errors import UserError
from edge_reid.types import MODALITIES, Modality, Sample

CAMERAS = range(1, 10)
_SHORT: dict[Modality, str] = {"visible": "vis", "thermal": "nir"}
_CAMERA = re.compile(r"_c(\d+)_")


class Llcm:
    """The pictures and searches of LLCM."""

    label = "LLCM"

    def __init__(self, root: Path, *, visible_search: Literal["straight", "zyk"] = "straight") -> None:
        """Take the unpacked archive; `visible_search` chooses between the two published ways."""
        self.root, self.visible_search = root, visible_search

    def train(self) -> list[Sample]:
        """The training pictures, visible before thermal."""
        return [sample for modality in MODALITIES for sample in self._train(modality)]

    def query(self, modality: Modality) -> list[Sample]:
        """All test pictures of a modality."""
        folder = self.root / f"test_{_SHORT[modality]}"
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; unpack LLCM whole, the test pictures are a part of their own")
        identities = sorted(read_numbers(self.root / "idx" / "test_id.txt"))
        samples = [
            Sample(path, identity, camera, modality)
            for camera in CAMERAS
            for identity in identities
            for path in pictures(folder / f"cam{camera}" / f"{identity:04d}")
        ]
        if not samples:
            raise UserError(f"{folder}: no picture of the {len(identities)} identities in idx/test_id.txt")
        return samples

    def gallery(self, modality: Modality) -> list[Sample]:
        """The test pictures that galleries are drawn from."""
        return self.query(modality)

    def searches(self) -> list[Search]:
        """Thermal to visible and visible to thermal, ten trials each."""
        pictures = {modality: self.query(modality) for modality in MODALITIES}
        visible, thermal = (
            (every(samples), [one_of_each(samples, trial) for trial in range(TRIALS)]) for samples in pictures.values()
        )
        forth = [Trial(thermal[0], rows) for rows in visible[1]]
        first = _search(pictures["thermal"], pictures["visible"], forth, "thermal -> visible")
        if self.visible_search == "straight":
            back = [Trial(visible[0], rows) for rows in thermal[1]]
            return [first, _search(pictures["visible"], pictures["thermal"], back, "visible -> thermal")]
        swapped = [Trial(rows, visible[0]) for rows in thermal[1]]
        return [first, _search(pictures["thermal"], pictures["visible"], swapped, "visible -> thermal (zyk)")]

    def _train(self, modality: Modality) -> list[Sample]:
        path = self.root / "idx" / f"train_{_SHORT[modality]}.txt"
        samples = []
        for name, _ in read_list(path):
            camera, person = _CAMERA.search(Path(name).name), Path(name).parent.name
            if camera is None or not person.isdecimal():
                raise UserError(f"{path}: {name} is not <identity>/..._c<camera>_...; get the lists again")
            samples.append(Sample(self.root / name, int(person), int(camera[1]), modality))
        return samples


def _search(query: list[Sample], pool: list[Sample], trials: list[Trial], direction: str) -> Search:
    drawn = "one per identity and camera, random.seed(trial)"
    counts = len(trials[0].queries), len(trials[0].gallery)
    asked = f"{counts[0]} {query[0].modality} queries" + ("" if counts[0] == len(query) else f" ({drawn})")
    found = f"gallery of {counts[1]} {pool[0].modality} pictures" + ("" if counts[1] == len(pool) else f" ({drawn})")
    protocol = (
        f"LLCM, {direction}, {asked}, {found}, {TRIALS} trials, a query does not see its own identity by its own camera"
    )
    return Search(query, pool, trials, "llcm", direction, protocol)
