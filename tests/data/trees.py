"""What the trees of published data sets are made of."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

PICTURE = cv2.imencode(".png", np.full((8, 4, 3), 90, np.uint8))[1].tobytes()


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(PICTURE)


def permutations(root: Path) -> np.ndarray:  # type: ignore[type-arg]
    """rand_perm_cam.mat in its real shape: cells of cells of (10, pictures) uint8."""
    draw = np.random.default_rng(1)
    cells = np.empty((6, 1), object)
    for camera in range(6):
        people = np.empty((9, 1), object)
        for person in range(9):
            count = len(list((root / f"cam{camera + 1}" / f"{person + 1:04d}").glob("*")))
            people[person, 0] = np.array([draw.permutation(count) + 1 for _ in range(10)], np.uint8)
        cells[camera, 0] = people
    savemat(root / "exp" / "rand_perm_cam.mat", {"rand_perm_cam": cells})
    return cells


def write_regdb(root: Path) -> Path:
    """Six people with three pictures in either modality; split 1 tests the odd ones, split 2 the even ones."""
    (root / "idx").mkdir(parents=True)
    for folder, letter in (("Visible", "v"), ("Thermal", "t")):
        for person in range(1, 7):
            for number in range(3):
                put(root / folder / str(person) / f"male_front_{letter}_{person}_{number}.bmp")
        for split in (1, 2):
            for part in ("train", "test"):
                odd = (part == "test") == (split == 1)
                people = [person for person in range(1, 7) if person % 2 == odd]
                lines = [
                    f"{folder}/{person}/male_front_{letter}_{person}_{number}.bmp {label}\n"
                    for label, person in enumerate(people)
                    for number in range(3)
                ]
                (root / "idx" / f"{part}_{folder.lower()}_{split}.txt").write_text("".join(lines))
    return root
