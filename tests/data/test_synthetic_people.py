"""Synthetic people: same numbers same bytes, colour stays in the visible, and the ground truth is true."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_reid.data.folder import FolderDataset
from edge_reid.data.synthetic.body import ANKLE, Viewpoint, pose
from edge_reid.data.synthetic.cameras import draw_cameras
from edge_reid.data.synthetic.crops import make_crop
from edge_reid.data.synthetic.dataset import FIRST_TEST_IDENTITY, Population, person_of, write_dataset
from edge_reid.data.synthetic.people import draw_person
from edge_reid.errors import UserError

SMALL = Population(identities=3, test_identities=2, pictures=2, size=(64, 32), seed=5)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synthetic") / "people"
    write_dataset(root, SMALL)
    return root


def test_the_same_numbers_give_the_same_bytes_with_any_number_of_workers(written: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "again", SMALL, workers=2)
    assert contents(tmp_path / "again") == contents(written)


def test_another_camera_seed_shows_the_same_people_in_other_pictures(written: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "other", replace(SMALL, camera_seed=99))
    first, second = contents(written), contents(tmp_path / "other")
    assert first["attributes.json"] == second["attributes.json"]
    pictures = [name for name in first if name.endswith(".jpg")]
    assert len(pictures) == 5 * 2 * 2
    assert all(first[name] != second[name] for name in pictures)


def test_test_people_do_not_depend_on_how_many_are_trained_on(written: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "more", replace(SMALL, identities=4))
    tests = {name: data for name, data in contents(written).items() if name.startswith("test/")}
    assert tests == {name: data for name, data in contents(tmp_path / "more").items() if name.startswith("test/")}


def test_the_folder_reads_as_a_data_set_with_attributes_and_parts(written: Path) -> None:
    dataset = FolderDataset(written)
    assert {sample.identity for sample in dataset.train()} == {0, 1, 2}
    assert {sample.identity for sample in dataset.query("thermal")} == {FIRST_TEST_IDENTITY, FIRST_TEST_IDENTITY + 1}
    known = dataset.attributes()
    assert known is not None
    assert list(known.values[1]) == [value for value, _ in person_of(SMALL.seed, 1).attributes().values()]
    assert all(0 <= value < size for row in known.values.values() for value, size in zip(row, known.sizes, strict=True))
    found = dataset.part_labels()
    assert found is not None
    for sample in dataset.train():
        path = found.path(sample)
        assert path is not None
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert labels.shape == (64, 32)
        assert labels.max() <= 5


def test_colours_and_patterns_leave_no_trace_in_thermal_pictures() -> None:
    person = draw_person(np.random.default_rng(4))
    recoloured = {name: (255 - b, 255 - g, 255 - r) for name, (b, g, r) in person.colors.items()}
    twin = replace(person, colors=recoloured, pattern=(person.pattern + 1) % 7, pattern_seed=1)
    for camera in draw_cameras(4, 0):
        first, second = (make_crop(who, camera, np.random.default_rng(7)) for who in (person, twin))
        assert np.array_equal(first.parts, second.parts)
        assert np.array_equal(first.image, second.image) == (camera.modality == "thermal")


def test_a_person_is_warmer_than_the_air_where_skin_shows() -> None:
    camera = replace(next(c for c in draw_cameras(4, 3) if c.modality == "thermal"), inverted=False)
    heads, backgrounds = [], []
    for number in range(12):
        crop = make_crop(draw_person(np.random.default_rng(number)), camera, np.random.default_rng(number))
        if (crop.parts == 1).any():  # not hidden behind something
            heads.append(crop.image[crop.parts == 1].mean())
            backgrounds.append(np.median(crop.image[crop.parts == 0]))
    assert len(heads) >= 8
    assert np.mean(np.array(heads) > np.array(backgrounds)) >= 0.75  # an insulating hat can be as cold as the street


def test_people_stand_on_the_ground_in_every_phase() -> None:
    person = draw_person(np.random.default_rng(2))
    for phase in np.linspace(0, 2 * np.pi, 16):
        stance = pose(person, float(phase))
        assert min(ankle[1] for ankle in stance.ankle) == pytest.approx(ANKLE)
        for hip, knee, ankle in zip(stance.hip, stance.knee, stance.ankle, strict=True):
            leg = person.body.leg - ANKLE
            assert np.linalg.norm(hip - knee) + np.linalg.norm(knee - ankle) == pytest.approx(leg)


def test_a_view_turns_people_as_its_angle_says() -> None:
    nose, left_hand = np.array([0.0, 0.9, 0.1]), np.array([0.2, 0.5, 0.0])
    facing = Viewpoint(0.0, 0.0, 100.0, (50.0, 100.0))
    assert facing.project(left_hand)[0] == pytest.approx(70.0)  # their left is on our right
    assert facing.project(nose)[2] > 0
    rightwards = Viewpoint(np.pi / 2, 0.0, 100.0, (50.0, 100.0))
    assert rightwards.project(nose)[0] == pytest.approx(60.0)
    away = Viewpoint(np.pi, 0.0, 100.0, (50.0, 100.0))
    assert away.project(left_hand)[0] == pytest.approx(30.0)
    assert away.project(nose)[2] < 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cameras": 3}, "--cameras 3"),
        ({"identities": 0, "test_identities": 0}, "nobody to draw"),
        ({"identities": 50_000}, "--identities 50000"),
        ({"pictures": 0}, "--pictures"),
        ({"size": (256, 8)}, "--size"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_the_option_that_asks_for_it(change: dict, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(UserError, match=message):
        replace(SMALL, **change)


def test_an_existing_folder_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    kept = tmp_path / "mine.txt"
    kept.write_text("precious")
    with pytest.raises(UserError, match="exists"):
        write_dataset(tmp_path, SMALL)
    assert kept.read_text() == "precious"


def test_an_interrupted_drawing_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "people", SMALL, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_the_description_says_that_the_data_is_synthetic(written: Path) -> None:
    about = json.loads((written / "dataset.json").read_text())
    assert about["synthetic"] is True
    assert about["seed"] == 5
    assert [camera["modality"] for camera in about["fleet"]] == ["visible", "visible", "thermal", "thermal"]
