"""SYSU-MM01, RegDB and LLCM as trees of the real shape with tiny pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.data.trees import put, write_regdb


@pytest.fixture
def sysu(tmp_path: Path) -> Path:
    """Five training and four test people; person 8 is in no indoor camera, person 9 not in camera 6."""
    root = tmp_path / "sysu"
    for name, numbers in (("train", "1,2,3"), ("val", "4,5"), ("test", "6,7,8,9")):
        (root / "exp").mkdir(parents=True, exist_ok=True)
        (root / "exp" / f"{name}_id.txt").write_text(numbers + "\n")
    counts = np.random.default_rng(0)
    for camera in range(1, 7):
        (root / f"cam{camera}").mkdir()
        for person in range(1, 10):
            if (person == 8 and camera in (1, 2)) or (person == 9 and camera == 6):
                continue
            for number in range(1, int(counts.integers(11, 14))):
                put(root / f"cam{camera}" / f"{person:04d}" / f"{number:04d}.jpg")
    return root


@pytest.fixture
def regdb(tmp_path: Path) -> Path:
    """Six people; split 1 tests the odd ones, split 2 the even ones."""
    return write_regdb(tmp_path / "regdb")


@pytest.fixture
def llcm(tmp_path: Path) -> Path:
    """Two training people and three test people in nine cameras; the infrared camera 3 is empty."""
    root = tmp_path / "cameras" / "llcm"  # "cam" in the path misleads readers that cut at it
    (root / "idx").mkdir(parents=True)
    for short in ("vis", "nir"):
        names = []
        for person in (1, 2):
            for camera in (2, 6):
                name = f"{short}/{person:04d}/{person:04d}_c{camera:02d}_s1_f{person}_{short}.jpg"
                put(root / name)
                names.append(f"{name} {person - 1}\n")
        (root / "idx" / f"train_{short}.txt").write_text("".join(names))
        for camera in range(1, 10):
            if (short, camera) == ("nir", 3):
                continue
            for person in (11, 12, 13):
                for number in range(1 + (person + camera) % 3):
                    put(
                        root
                        / f"test_{short}"
                        / f"cam{camera}"
                        / f"{person:04d}"
                        / f"{person:04d}_c{camera:02d}_{number}.jpg"
                    )
    (root / "idx" / "test_id.txt").write_text("13,11,12\n")
    return root
