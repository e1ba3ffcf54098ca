"""The data folder: sorted, and strict about its rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_reid.data import FolderDataset
from edge_reid.errors import UserError
from edge_reid.types import Sample

PICTURES = (
    "train/visible/00007/c1_b.jpg",
    "train/visible/00007/c1_a.PNG",
    "train/visible/00002/c2_0.bmp",
    "train/thermal/00007/c3_0.jpeg",
    "train/thermal/00002/c14_0.jpg",
    "test/visible/00100/c1_0.jpg",
    "test/thermal/00100/c3_0.jpg",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in PICTURES:
        put(tmp_path, name)
    return tmp_path


def put(root: Path, name: str, content: str = "") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_pictures_are_listed_visible_first_then_by_identity_and_name(root: Path) -> None:
    assert FolderDataset(root).train() == [
        Sample(root / "train/visible/00002/c2_0.bmp", 2, 2, "visible"),
        Sample(root / "train/visible/00007/c1_a.PNG", 7, 1, "visible"),
        Sample(root / "train/visible/00007/c1_b.jpg", 7, 1, "visible"),
        Sample(root / "train/thermal/00002/c14_0.jpg", 2, 14, "thermal"),
        Sample(root / "train/thermal/00007/c3_0.jpeg", 7, 3, "thermal"),
    ]


def test_query_and_gallery_are_all_test_pictures_of_a_modality(root: Path) -> None:
    dataset = FolderDataset(root)
    assert dataset.query("thermal") == dataset.gallery("thermal")
    assert [sample.path.name for sample in dataset.query("thermal")] == ["c3_0.jpg"]


def test_hidden_files_are_left_alone(root: Path) -> None:
    put(root, "train/visible/.DS_Store")
    put(root, "train/visible/00007/.thumbnails")
    assert len(FolderDataset(root).train()) == 5


def test_a_folder_for_testing_only_is_a_data_folder(tmp_path: Path) -> None:
    put(tmp_path, "test/visible/1/c1_0.jpg")
    assert len(FolderDataset(tmp_path).query("visible")) == 1


def test_a_label_map_lies_at_the_place_of_its_picture(root: Path) -> None:
    labels = put(root, "parts/train/visible/00007/c1_b.png")
    dataset = FolderDataset(root)
    found = dataset.part_labels()
    assert found is not None
    paths = {sample.path.name: found.path(sample) for sample in dataset.train()}
    assert paths.pop("c1_b.jpg") == labels
    assert set(paths.values()) == {None}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: put(root, "train/visible/bob/c1_0.jpg"), r"bob: not a folder named after an identity"),
        (lambda root: put(root, "train/visible/readme.txt"), r"readme\.txt: not a folder named after an identity"),
        (lambda root: put(root, "train/visible/00007/0.jpg"), r"0\.jpg: not named c<camera>"),
        (lambda root: put(root, "train/visible/00007/c1_0.gif"), r"c1_0\.gif: not named c<camera>"),
        (lambda root: put(root, "train/thermal/00007/c1_0.jpg"), "camera 1 has visible and thermal"),
        (lambda root: put(root, "test/thermal/00002/c3_0.jpg"), "identity 2 is in train and in test"),
        (lambda root: (root / "train/thermal").rename(root / "elsewhere"), "train needs visible/ and thermal/"),
    ],
    ids=["name", "file", "no camera", "extension", "camera of both", "identity of both", "one modality"],
)
def test_a_broken_rule_is_named_with_its_place(root: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(root)
    with pytest.raises(UserError, match=message):
        FolderDataset(root).train()


def test_an_empty_folder_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither train/ nor test/"):
        FolderDataset(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        FolderDataset(tmp_path / "missing")
    (tmp_path / "train/visible").mkdir(parents=True)
    with pytest.raises(UserError, match="holds no picture"):
        FolderDataset(tmp_path).train()


def test_attributes_are_read_by_identity(root: Path) -> None:
    assert FolderDataset(root).attributes() is None
    table = {"names": ["hat", "bag"], "sizes": [2, 3], "values": {"7": [1, 2], "2": [0, -1]}}
    put(root, "attributes.json", json.dumps(table))
    attributes = FolderDataset(root).attributes()
    assert attributes is not None
    assert attributes.names == ("hat", "bag")
    assert attributes.values == {7: (1, 2), 2: (0, -1)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a table"),
        ('{"names": ["hat"], "sizes": [2]}', "not a table"),
        ('{"names": ["hat", "bag"], "sizes": [2], "values": {}}', "2 names but 1 sizes"),
        ('{"names": ["hat"], "sizes": [2], "values": {"7": [2]}}', "identity 7"),
        ('{"names": ["hat"], "sizes": [2], "values": {"7": [0, 0]}}', "identity 7"),
    ],
    ids=["no json", "key", "sizes", "value", "row"],
)
def test_attributes_that_make_no_sense_are_refused(root: Path, content: str, message: str) -> None:
    put(root, "attributes.json", content)
    with pytest.raises(UserError, match=message):
        FolderDataset(root).attributes()
