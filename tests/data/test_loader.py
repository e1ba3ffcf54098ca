"""Batches by their key, the same in every process."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from edge_reid.data import FolderDataset
from edge_reid.data.loader import Batch, StepKey, TrainingPictures, build_loader
from edge_reid.data.parts import read_labels
from edge_reid.data.sampler import build_sampler
from edge_reid.errors import UserError
from edge_reid.losses.attribute_cross_entropy import UNKNOWN
from edge_reid.types import IGNORE

IDENTITIES = (5, 30, 31, 900)
KEYS = [StepKey(0, 0, (32, 16)), StepKey(0, 1, (32, 16)), StepKey(1, 0, (48, 24))]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("loader")
    random = np.random.default_rng(0)
    for modality, camera in (("visible", 1), ("thermal", 2)):
        for identity in IDENTITIES:
            for k in range(3):
                path = root / "train" / modality / f"{identity:05d}" / f"c{camera}_{k}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), random.integers(1, 255, (64, 32, 3), dtype=np.uint8))
                if identity == 900:
                    labels = root / "parts" / path.relative_to(root)
                    labels.parent.mkdir(parents=True, exist_ok=True)
                    cv2.imwrite(str(labels), np.full((64, 32), 4, np.uint8))
    table = {"names": ["hat", "bag"], "sizes": [2, 3], "values": {"5": [1, 2], "30": [0, 0], "900": [-1, 1]}}
    (root / "attributes.json").write_text(json.dumps(table))
    return root


def pictures(root: Path, share: tuple[int, int] = (0, 1)) -> TrainingPictures:
    dataset = FolderDataset(root)
    samples = dataset.train()
    sampler = build_sampler(samples, identities_per_step=4, pictures_per_identity=2, steps_per_epoch=2, seed=0)
    return TrainingPictures(samples, sampler, dataset.attributes(), dataset.part_labels(), share=share)


def equal(first: Batch, second: Batch) -> bool:
    halves = torch.equal(first.visible, second.visible) and torch.equal(first.thermal, second.thermal)
    return halves and all(torch.equal(a, b) for a, b in zip(first.targets, second.targets, strict=True))


def test_a_batch_has_the_size_of_its_key_and_a_row_of_targets_per_picture(root: Path) -> None:
    batch = pictures(root)[KEYS[2]]
    assert batch.visible.shape == (8, 48, 24, 3)
    assert batch.thermal.shape == (8, 48, 24)
    assert batch.targets.parts.shape == (16, 48, 24)
    assert batch.targets.modalities.tolist() == [0] * 8 + [1] * 8
    assert batch.targets.identities[:8].tolist() == batch.targets.identities[8:].tolist()
    assert sorted(set(batch.targets.identities.tolist())) == [0, 1, 2, 3]


def test_attributes_and_parts_follow_their_person_and_are_unknown_elsewhere(root: Path) -> None:
    targets = pictures(root)[KEYS[0]].targets
    known = {0: [1, 2], 1: [0, 0], 2: [UNKNOWN, UNKNOWN], 3: [UNKNOWN, 1]}
    for label, attributes, parts in zip(targets.identities.tolist(), targets.attributes, targets.parts, strict=True):
        assert attributes.tolist() == known[label]
        assert set(parts.unique().tolist()) <= ({4, IGNORE} if label == 3 else {IGNORE})
        assert bool((parts == 4).any()) == (label == 3)


def test_the_key_alone_decides_the_batch_in_any_order_and_process(root: Path) -> None:
    here = [pictures(root)[key] for key in KEYS]
    torch.manual_seed(123)
    backwards = [pictures(root)[key] for key in reversed(KEYS)]
    elsewhere = list(build_loader(pictures(root), KEYS, workers=1))
    assert all(equal(a, b) for a, b in zip(here, reversed(backwards), strict=True))
    assert all(equal(a, b) for a, b in zip(here, elsewhere, strict=True))
    assert not torch.equal(here[0].visible, here[1].visible)


def test_shares_of_a_step_are_its_pictures_as_they_are(root: Path) -> None:
    whole = pictures(root)[KEYS[0]]
    shares = [pictures(root, (rank, 2))[KEYS[0]] for rank in range(2)]
    for half in range(2):
        assert torch.equal(torch.cat([(share.visible, share.thermal)[half] for share in shares]), whole[half])
    for field in range(len(whole.targets)):
        rows = [share.targets[field].chunk(2) for share in shares]
        joined = torch.cat([rows[rank][half] for half in range(2) for rank in range(2)])
        assert torch.equal(joined, whole.targets[field])
    people = [set(share.targets.identities.tolist()) for share in shares]
    assert not people[0] & people[1]


def test_cameras_are_counted_within_their_modality(root: Path) -> None:
    targets = pictures(root)[KEYS[0]].targets
    for modality in (0, 1):
        assert set(targets.cameras[targets.modalities == modality].tolist()) <= {0, 1}


def test_reading_a_batch_leaves_the_generator_of_the_process_alone(root: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    pictures(root)[KEYS[0]]
    assert torch.equal(torch.rand(3), expected)


def test_labels_are_resized_without_being_mixed(tmp_path: Path) -> None:
    labels = np.zeros((64, 32), np.uint8)
    labels[:32] = 5
    cv2.imwrite(str(tmp_path / "labels.png"), labels)
    assert np.array_equal(read_labels(tmp_path / "labels.png", (32, 16)), labels[::2, ::2])


def test_a_palette_of_labels_is_read_by_its_indices(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 255]], np.uint8), mode="P")
    image.putpalette([value for index in range(256) for value in (index * 7 % 256, index * 3 % 256, 90)])
    image.save(tmp_path / "labels.png")
    assert read_labels(tmp_path / "labels.png", (2, 2), parts=2).tolist() == [[0, 1], [2, 255]]


@pytest.mark.parametrize(
    ("values", "mode", "message"),
    [
        (np.full((2, 2), 7, np.uint8), "L", "shows part 7, the recipe knows 5; pass --set semantic_parts=7"),
        (np.zeros((2, 2, 3), np.uint8), "RGB", "is a picture of mode RGB, not a label map of one plane"),
    ],
    ids=["part", "colours"],
)
def test_a_label_map_that_the_recipe_cannot_learn_is_refused(
    tmp_path: Path,
    values: np.ndarray,
    mode: str,
    message: str,  # type: ignore[type-arg]
) -> None:
    Image.fromarray(values, mode=mode).save(tmp_path / "labels.png")
    with pytest.raises(UserError, match=rf"labels\.png: {message}"):
        read_labels(tmp_path / "labels.png", (2, 2), parts=5)
