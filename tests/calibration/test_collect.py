from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from edge_reid_calibration import choose, load_chunks
from edge_reid_calibration.collect import CHUNK, FEW, doubts

from edge_reid.data.folder import FolderDataset
from edge_reid.errors import UserError
from edge_reid.types import Sample


def people() -> list[Sample]:
    """Ten people; camera 1 took six pictures of each, camera 2 two, thermal camera 3 one."""
    cameras = [1] * 6 + [2] * 2 + [3]
    return [
        Sample(Path(f"{identity}/{number}"), identity, camera, "thermal" if camera == 3 else "visible")
        for identity in range(10)
        for number, camera in enumerate(cameras)
    ]


def test_people_and_cameras_are_equally_frequent() -> None:
    chosen = choose(people(), "visible", 20)
    assert Counter(sample.identity for sample in chosen) == dict.fromkeys(range(10), 2)
    assert Counter(sample.camera for sample in chosen) == {1: 10, 2: 10}


def test_no_picture_is_chosen_twice_and_all_are_chosen_when_there_are_few() -> None:
    chosen = choose(people(), "visible", 1000)
    assert len(chosen) == len({sample.path for sample in chosen}) == 80


def test_each_modality_has_its_own_pool() -> None:
    assert {sample.modality for sample in choose(people(), "thermal", 5)} == {"thermal"}


def test_the_same_seed_chooses_the_same_pictures() -> None:
    assert choose(people(), "visible", 7, seed=3) == choose(people(), "visible", 7, seed=3)
    assert choose(people(), "visible", 7, seed=3) != choose(people(), "visible", 7, seed=4)


def test_a_missing_modality_is_named() -> None:
    visible = [sample for sample in people() if sample.modality == "visible"]
    with pytest.raises(UserError, match="no thermal picture of a training person; add train/thermal/"):
        choose(visible, "thermal")


def test_few_and_doubled_pictures_are_told(tmp_path: Path) -> None:
    pool = [Sample(tmp_path / f"{number}.png", number, 1, "visible") for number in range(FEW)]
    for number, sample in enumerate(pool):
        sample.path.write_bytes(bytes([number]))
    assert doubts(pool) == []
    assert doubts([]) == []
    few, doubled = doubts([*pool[:3], pool[0]])
    assert few.startswith("calibration: 4 visible pictures are few")
    assert "of which only 3 are different" in doubled


def test_chunks_are_never_larger_than_asked_for_however_many_pictures_there_are(tiny_data: Path) -> None:
    samples = [sample for sample in FolderDataset(tiny_data).train() if sample.modality == "visible"] * 3
    assert {len(crops) for crops in load_chunks(samples[:11], (64, 32))} == {CHUNK, 11 % CHUNK}


def test_chunks_hold_every_picture_once_at_the_size_asked_for(tiny_data: Path) -> None:
    samples = choose(FolderDataset(tiny_data).train(), "visible")
    chunks = list(load_chunks(samples, (32, 16), 3))
    assert [chunk.shape for chunk in chunks] == [(3, 32, 16, 3), (3, 32, 16, 3), (2, 32, 16, 3)]
