"""Scenes: two videos of one ground plane whose ground truth agrees with itself."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_reid.cameras.geometry import GroundPlane
from edge_reid.data.synthetic.people import draw_person
from edge_reid.data.synthetic.scene import MOUNTS, Screenplay, write_scene
from edge_reid.data.synthetic.stage import Mount
from edge_reid.errors import UserError

PLAY = Screenplay(people=3, seconds=6.0, fps=5, seed=1)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scene") / "scene"
    write_scene(folder, PLAY)
    return folder


def truth(folder: Path, modality: str) -> np.ndarray:  # type: ignore[type-arg]
    return np.loadtxt(folder / f"gt_{modality}.txt", delimiter=",")


def test_both_videos_have_every_frame(scene: Path) -> None:
    for modality in ("visible", "thermal"):
        capture = cv2.VideoCapture(str(scene / f"{modality}.avi"))
        frames = 0
        while capture.read()[0]:
            frames += 1
        capture.release()
        assert frames == 30


def test_the_same_screenplay_gives_the_same_bytes(scene: Path, tmp_path: Path) -> None:
    write_scene(tmp_path / "again", PLAY)
    for path in sorted(scene.iterdir()):
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


def test_ground_truth_is_mot_text_with_shares_of_sight(scene: Path) -> None:
    for modality in ("visible", "thermal"):
        rows = truth(scene, modality)
        assert rows.shape[1] == 9
        assert rows[:, 0].min() >= 1
        assert rows[:, 0].max() <= 30
        assert ((rows[:, 8] > 0) & (rows[:, 8] <= 1)).all()
        assert len({(frame, identity) for frame, identity in rows[:, :2]}) == len(rows)


def test_the_homography_carries_feet_from_one_view_to_the_other(scene: Path) -> None:
    across = GroundPlane.read(scene / "homography.json").visible_to_thermal
    thermal = {(row[0], row[1]): row for row in truth(scene, "thermal")}
    errors = []
    for row in truth(scene, "visible"):
        other = thermal.get((row[0], row[1]))
        if other is not None and row[8] > 0.95 and other[8] > 0.95:
            foot = across @ np.array([row[2] + row[4] / 2, row[3] + row[5], 1.0])
            errors.append(np.hypot(*(foot[:2] / foot[2] - (other[2] + other[4] / 2, other[3] + other[5]))) / other[5])
    assert len(errors) > 20
    assert np.median(errors) < 0.12  # the lowest point of a box is a shoe, not the point between the feet


def test_a_mount_projects_as_a_pinhole_camera_does() -> None:
    mount = Mount(x=1.0, height=3.0, z=-2.0, yaw=0.3, pitch=0.25, focal=500.0)
    for ground in ((0.0, 4.0), (-2.0, 8.0), (3.0, 6.0)):
        offset = np.array([ground[0] - 1.0, -3.0, ground[1] + 2.0])  # right, up, ahead
        turned = np.array(
            [
                offset[0] * np.cos(0.3) - offset[2] * np.sin(0.3),
                offset[1],
                offset[0] * np.sin(0.3) + offset[2] * np.cos(0.3),
            ]
        )
        depth = turned[2] * np.cos(0.25) - turned[1] * np.sin(0.25)
        up = turned[1] * np.cos(0.25) + turned[2] * np.sin(0.25)
        expected = (320 + 500 * turned[0] / depth, 240 - 500 * up / depth)
        u, v, w = mount.matrix() @ np.array([*ground, 1.0])
        assert (u / w, v / w) == pytest.approx(expected)


def test_someone_who_walks_towards_a_camera_faces_it() -> None:
    mount, person = MOUNTS["visible"], draw_person(np.random.default_rng(0))
    place = np.array([0.0, 7.0])
    towards = np.array([mount.x, mount.z]) - place
    view, _ = mount.view(person, place, towards / np.hypot(*towards))
    assert view.turn == pytest.approx(0.0, abs=1e-9)
    aside, _ = mount.view(person, place, np.array([1.0, 0.0]))
    assert 0 < aside.turn < np.pi


@pytest.mark.parametrize("change", [{"people": 0}, {"seconds": 1.0}, {"fps": 0}])
def test_a_scene_that_cannot_be_filmed_is_refused(change: dict) -> None:  # type: ignore[type-arg]
    with pytest.raises(UserError, match="--people"):
        Screenplay(**change)
