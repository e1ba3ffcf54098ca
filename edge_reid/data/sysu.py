"""SYSU-MM01 (Wu et al., ICCV 2017): six cameras, 491 people, two gallery samplings that are not comparable.

ROOT/cam1 .. cam6/0001/0001.jpg         cameras 1, 2, 4, 5 visible, 3 and 6 infrared
ROOT/exp/{train_id,val_id,test_id}.txt  one line of numbers with commas each
ROOT/exp/rand_perm_cam.mat              for the official sampling; not in the archive, see PERMUTATIONS_FROM
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_reid.data.search import TRIALS, Search, Trial, every, one_of_each
from edge_reid.data.tree import pictures, read_numbers
from edge_reid.errors import UserError
from edge_reid.types import Modality, Sample

VISIBLE_CAMERAS, THERMAL_CAMERAS = (1, 2, 4, 5), (3, 6)
INDOOR_CAMERAS = (1, 2)

PERMUTATIONS_FROM = "github.com/wuancong/SYSU-MM01, evaluation/data_split/rand_perm_cam.mat"

Mode = Literal["all", "indoor"]
Sampling = Literal["ye", "official"]


class Sysu:
    """The pictures and searches of SYSU-MM01."""

    label = "SYSU-MM01"

    def __init__(self, root: Path, *, mode: Mode = "all", shots: Literal[1, 10] = 1, sampling: Sampling = "ye") -> None:
        """Look at the identity lists; pictures are listed when asked for.

        Args:
            root: the unpacked archive.
            mode: search among all visible cameras or among the indoor ones.
            shots: gallery pictures per identity and camera.
            sampling: "ye", one random picture each, as most published code draws them; "official", the permutations of
                the data set's authors.

        Raises:
            UserError: a list is missing or malformed, or "ye" is asked for ten shots, which it does not define.
        """
        if sampling == "ye" and shots != 1:
            raise UserError("--sampling ye is single-shot only; choose --sampling official for --shots 10")
        self.root, self.mode, self.shots, self.sampling = root, mode, shots, sampling
        lists = {name: read_numbers(root / "exp" / f"{name}_id.txt") for name in ("train", "val", "test")}
        if shared := (set(lists["train"]) | set(lists["val"])) & set(lists["test"]):
            raise UserError(f"{root / 'exp'}: identity {min(shared)} is in a training list and in test_id.txt")
        self._train, self._test = sorted({*lists["train"], *lists["val"]}), sorted(lists["test"])

    def train(self) -> list[Sample]:
        """All pictures of the 395 identities in train_id.txt and val_id.txt, visible before thermal."""
        return self._list("visible", VISIBLE_CAMERAS, self._train) + self._list("thermal", THERMAL_CAMERAS, self._train)

    def query(self, modality: Modality = "thermal") -> list[Sample]:
        """All test pictures of a modality; the protocol searches with the thermal ones."""
        return self._list(modality, VISIBLE_CAMERAS if modality == "visible" else THERMAL_CAMERAS, self._test)

    def gallery(self, modality: Modality = "visible") -> list[Sample]:
        """The test pictures that galleries are drawn from."""
        if modality == "thermal":
            return self.query("thermal")
        return self._list("visible", INDOOR_CAMERAS if self.mode == "indoor" else VISIBLE_CAMERAS, self._test)

    def searches(self) -> list[Search]:
        """Thermal to visible, ten galleries.

        Raises:
            UserError: the official sampling lacks rand_perm_cam.mat, or it does not fit the pictures.
        """
        query, pool = self.query(), self.gallery()
        official = _Permutations(self.root / "exp" / "rand_perm_cam.mat") if self.sampling == "official" else None
        trials = [
            Trial(every(query), official.draw(pool, trial, self.shots) if official else one_of_each(pool, trial))
            for trial in range(TRIALS)
        ]
        how = "rand_perm_cam.mat" if official else "random.seed(trial)"
        protocol = (
            f"SYSU-MM01, {self.mode} search, thermal -> visible, {self.shots}-shot, gallery sampling {self.sampling} "
            f"({how}), {len(query)} queries, gallery of {len(trials[0].gallery)}, {TRIALS} trials, camera 3 does not "
            "see camera 2"
        )
        return [Search(query, pool, trials, "sysu", "thermal -> visible", protocol)]

    def _list(self, modality: Modality, cameras: tuple[int, ...], identities: list[int]) -> list[Sample]:
        samples = []
        for camera in cameras:
            folder = self.root / f"cam{camera}"
            if not folder.is_dir():
                raise UserError(f"{folder}: no such folder; unpack SYSU-MM01 whole, it has cam1 to cam6")
            for identity in identities:
                found = pictures(folder / f"{identity:04d}")
                if strange := [path for path in found if not path.stem.isdecimal()]:
                    raise UserError(
                        f"{strange[0]}: not a picture of SYSU-MM01, and it would change the draws; remove it"
                    )
                samples += [Sample(path, identity, camera, modality) for path in found]
        if not samples:
            raise UserError(
                f"{self.root}: no {modality} picture of {len(identities)} identities; is the archive whole?"
            )
        return samples


class _Permutations:
    """rand_perm_cam.mat: per camera, identity and trial an order of the picture numbers."""

    def __init__(self, path: Path) -> None:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError

        self._path = path
        if not path.is_file():
            raise UserError(f"{path}: not there, and it is not in the archive; get it from {PERMUTATIONS_FROM}")
        try:
            self._cells = loadmat(str(path))["rand_perm_cam"]
        except (MatReadError, ValueError, KeyError, NotImplementedError, TypeError) as error:
            raise UserError(
                f"{path}: holds no variable rand_perm_cam ({error}); get it from {PERMUTATIONS_FROM}"
            ) from error

    def draw(self, pool: list[Sample], trial: int, shots: int) -> NDArray[np.intp]:
        """Rows of the first `shots` pictures of every identity and camera; picture n is the file named n."""
        rows = {(sample.camera, sample.identity, int(sample.path.stem)): row for row, sample in enumerate(pool)}
        chosen = []
        for camera, identity in sorted({(sample.camera, sample.identity) for sample in pool}):
            try:
                orders = np.asarray(self._cells[camera - 1][0].squeeze()[identity - 1])
                chosen += [rows[camera, identity, int(number)] for number in orders[trial][:shots]]
            except (IndexError, KeyError) as error:
                raise UserError(
                    f"{self._path}: does not fit camera {camera}, identity {identity}; one of both is not SYSU-MM01"
                ) from error
        return np.array(chosen, dtype=np.intp)
