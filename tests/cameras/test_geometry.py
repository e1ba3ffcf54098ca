"""The ground between two views: who stands where the other stands, and files that hold no homography."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import strollers

from edge_reid.cameras.alignment import fit_stature
from edge_reid.cameras.geometry import GroundPlane, foot_points
from edge_reid.errors import UserError
from edge_reid.people.boxes import intersection_over_union
from edge_reid.types import MODALITIES, Modality, other_modality

SIZES: dict[Modality, tuple[int, int]] = {"visible": (480, 640), "thermal": (240, 320)}

HALF = np.array([[0.5, 0.0, 20.0], [0.0, 0.5, 0.0], [0.0, 0.0, 1.0]])
"""The thermal view shows the same at half the size, moved by 20 pixels."""


def box(x: float, foot: float, height: float) -> list[float]:
    """A box whose foot point is (x, foot)."""
    return [x - height / 4, foot - height, x + height / 4, foot]


def boxes(*rows: list[float]) -> np.ndarray:  # type: ignore[type-arg]
    return np.array(rows, np.float32)


def test_distances_are_counted_in_heights_of_the_thermal_box() -> None:
    plane = GroundPlane(HALF, SIZES)
    visible = boxes(box(100, 190, 160), box(400, 200, 120))
    # the feet map to (70, 95) and (220, 100)
    thermal = boxes(box(70, 95, 80), box(220, 100, 60), box(110, 95, 80), box(70, 75, 40))
    apart = plane.distances(visible, thermal, SIZES)
    np.testing.assert_allclose(apart[0], [0.0, np.hypot(150, 5) / 60, 0.5, 0.5])
    np.testing.assert_allclose(apart[1], [np.hypot(150, 5) / 80, 0.0, np.hypot(110, 5) / 80, np.hypot(150, 25) / 40])


def test_nothing_is_known_of_a_foot_outside_of_the_frame() -> None:
    plane = GroundPlane(HALF, SIZES)
    visible = boxes(box(100, 479, 300), box(400, 200, 120))
    thermal = boxes(box(300, 120, 60), box(30, 240, 100))
    unknown = np.isnan(plane.distances(visible, thermal, SIZES))
    assert unknown.tolist() == [[True, True], [False, True]]


def test_streams_of_another_size_than_the_homography_are_scaled() -> None:
    plane = GroundPlane(HALF, SIZES)
    visible, thermal = boxes(box(100, 300, 160)), boxes(box(70, 150, 80), box(115, 150, 80))
    expected = plane.distances(visible, thermal, SIZES)
    assert expected.tolist() == [[0.0, pytest.approx(45 / 80)]]
    large: dict[Modality, tuple[int, int]] = {"visible": (960, 1280), "thermal": (480, 640)}
    np.testing.assert_allclose(plane.distances(visible * 2, thermal * 2, large), expected)
    np.testing.assert_allclose(plane.distances(visible * 2, thermal, {**SIZES, "visible": (960, 1280)}), expected)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_what_lies_behind_the_thermal_camera_is_infinitely_far(sign: float) -> None:
    # the third coordinate is 1 - x / 400: right of that is behind the thermal camera
    behind = sign * np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-1 / 400, 0.0, 1.0]])
    plane = GroundPlane(behind, {"visible": (480, 640), "thermal": (480, 640)})
    visible = boxes(box(200, 100, 50), box(600, 100, 50))
    mirrored = boxes(box(400, 200, 50), box(600 / -0.5, 100 / -0.5, 50))
    apart = plane.distances(visible, mirrored, plane.sizes)
    assert apart[0, 0] == pytest.approx(0.0)
    assert np.isinf(apart[1]).all()


def test_a_written_homography_reads_back(tmp_path: Path) -> None:
    GroundPlane(HALF, SIZES).write(tmp_path / "h.json")
    again = GroundPlane.read(tmp_path / "h.json")
    np.testing.assert_array_equal(again.visible_to_thermal, HALF)
    assert again.sizes == SIZES


def content(**changes: object) -> str:
    return json.dumps(
        {"visible_to_thermal": HALF.tolist(), "visible_size": [480, 640], "thermal_size": [240, 320], **changes}
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("{", "needs visible_to_thermal"),
        ("[1]", "needs visible_to_thermal"),
        (content(thermal_size=[0, 320]), "needs visible_to_thermal"),
        (content(visible_size=480), "needs visible_to_thermal"),
        (content(visible_to_thermal=[[1, 2], [3]]), "needs visible_to_thermal"),
        (content(visible_to_thermal=[[1, 2], [3, 4]]), "no invertible"),
        (content(visible_to_thermal=[[1, 2, 3], [2, 4, 6], [0, 0, 1]]), "no invertible"),
        (content(visible_to_thermal=[[1, 0, float("nan")], [0, 1, 0], [0, 0, 1]]), "no invertible"),
    ],
)
def test_a_file_without_a_homography_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "h.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=message):
        GroundPlane.read(path)


@pytest.mark.parametrize(
    "text", [content(visible_stature=[0, 0.3, 1]), content(visible_stature=[0, 1], thermal_stature=[0, 1])]
)
def test_half_of_the_statures_or_of_one_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "h.json").write_text(text)
    with pytest.raises(UserError, match="needs visible_to_thermal"):
        GroundPlane.read(tmp_path / "h.json")


def test_statures_and_how_it_was_found_are_written_and_the_statures_read_back(tmp_path: Path) -> None:
    statures = {"visible": np.array([0.0, 0.5, 3.0]), "thermal": np.array([0.01, 0.25, 1.0])}
    GroundPlane(HALF, SIZES, statures).write(tmp_path / "h.json", {"method": "by hand"})
    again = GroundPlane.read(tmp_path / "h.json").statures
    assert again is not None
    for modality, stature in statures.items():
        np.testing.assert_array_equal(again[modality], stature)
    assert json.loads((tmp_path / "h.json").read_text())["about"] == {"method": "by hand"}
    GroundPlane(HALF, SIZES).write(tmp_path / "h.json")
    assert GroundPlane.read(tmp_path / "h.json").statures is None


def test_boxes_are_carried_to_where_the_other_view_shows_them() -> None:
    plane = GroundPlane(HALF, SIZES)
    visible = boxes(box(100, 190, 160), box(400, 200, 120))
    expected = boxes(box(70, 95, 80), box(220, 100, 60))
    carried, rows = plane.carry(visible, "visible", SIZES)
    np.testing.assert_allclose(carried, expected)
    assert rows.tolist() == [0, 1]
    back, _ = plane.carry(expected, "thermal", SIZES)
    np.testing.assert_allclose(back, visible, atol=1e-4)
    large: dict[Modality, tuple[int, int]] = {"visible": (960, 1280), "thermal": (480, 640)}
    np.testing.assert_allclose(plane.carry(visible * 2, "visible", large)[0], expected * 2)
    np.testing.assert_allclose(plane.carry(visible, "visible", {**SIZES, "thermal": (480, 640)})[0], expected * 2)


def test_a_margin_is_added_on_every_side_and_the_frame_is_the_limit() -> None:
    plane = GroundPlane(HALF, SIZES)
    wide, _ = plane.carry(boxes(box(400, 200, 120), box(600, 300, 200)), "visible", SIZES, margin=0.1)
    np.testing.assert_allclose(wide[0], np.add(box(220, 100, 60), (-6, -6, 6, 6)))
    np.testing.assert_allclose(wide[1], [320 - 25 - 10, 150 - 100 - 10, 320, 150 + 10])


def test_what_the_other_view_does_not_show_is_left_out() -> None:
    plane = GroundPlane(HALF, SIZES)
    far_left = np.diag([1.0, 1.0, 1.0]) + np.array([[0, 0, -200.0], [0, 0, 0], [0, 0, 0]])
    visible = boxes(box(100, 200, 100), box(300, 479, 300), box(400, 200, 100))
    carried, rows = plane.carry(visible, "visible", SIZES)
    assert rows.tolist() == [0, 2], "the second one's feet are outside of its own frame"
    shifted = GroundPlane(far_left, dict.fromkeys(("visible", "thermal"), (480, 640)))  # type: ignore[arg-type]
    carried, rows = shifted.carry(visible, "visible", shifted.sizes)
    assert rows.tolist() == [2]
    np.testing.assert_allclose(carried, boxes(box(200, 200, 100)))
    none, rows = plane.carry(np.zeros((0, 4), np.float32), "visible", SIZES)
    assert none.shape == (0, 4) and rows.shape == (0,)


def test_nobody_is_carried_behind_a_camera_or_above_the_horizon() -> None:
    behind = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-1 / 400, 0.0, 1.0]])
    plane = GroundPlane(behind, {"visible": (480, 640), "thermal": (480, 640)})
    _, rows = plane.carry(boxes(box(100, 200, 50), box(600, 200, 50)), "visible", plane.sizes)
    assert rows.tolist() == [0]
    assert plane.across(np.array([[100.0, 200.0], [600.0, 200.0]]), "visible")[1].tolist() == [True, False]
    points, ahead = plane.across(np.array([[400 / 3, 800 / 3], [-500.0, 100.0]]), "thermal")
    np.testing.assert_allclose(points[0], [100, 200])
    assert ahead.tolist() == [True, False], "left of -400 the ray meets the floor behind the visible camera"
    rising = {"visible": np.array([0.0, 1.0, -150.0]), "thermal": np.array([0.0, 1.0, -75.0])}
    plane = GroundPlane(HALF, SIZES, rising)
    _, rows = plane.carry(boxes(box(300, 140, 50), box(300, 240, 50)), "visible", SIZES)
    assert rows.tolist() == [1]


@pytest.mark.parametrize(
    "rig", [strollers.BESIDE, strollers.ACROSS, strollers.OPPOSITE], ids=["beside", "across", "opposite"]
)
def test_carried_boxes_are_those_that_the_other_pinhole_camera_takes(rig: strollers.Rig) -> None:
    seen = {modality: strollers.people_on_the_floor(rig[modality]) for modality in MODALITIES}
    whole = np.all([np.all((b[:, :2] > 0) & (b[:, 2:] < (640, 470)), axis=1) for b in seen.values()], axis=0)
    assert whole.sum() > 50
    visible, thermal = (seen[modality][whole] for modality in MODALITIES)
    statures = {m: fit_stature(foot_points(b), (b[:, 3] - b[:, 1]).astype(float)) for m, b in seen.items()}
    plane = GroundPlane(strollers.truth(rig), dict.fromkeys(MODALITIES, (480, 640)), statures)
    sides: list[tuple[Modality, np.ndarray, np.ndarray]] = [  # type: ignore[type-arg]
        ("visible", visible, thermal), ("thermal", thermal, visible)
    ]  # fmt: skip
    for source, there, expected in sides:
        carried, rows = plane.carry(there, source, plane.sizes)
        assert len(rows) == whole.sum()
        overlaps = np.diag(intersection_over_union(carried, expected))
        assert overlaps.min() > 0.98, "height is one over depth, and that is linear in the picture of a plane"
        again, _ = plane.carry(carried, other_modality(source), plane.sizes)
        np.testing.assert_allclose(again, there, atol=0.05)


def test_without_statures_cameras_beside_each_other_still_know_the_height() -> None:
    rig = strollers.BESIDE
    visible, thermal = (strollers.people_on_the_floor(rig[modality]) for modality in MODALITIES)
    plane = GroundPlane(strollers.truth(rig), dict.fromkeys(MODALITIES, (480, 640)))
    carried, rows = plane.carry(visible, "visible", plane.sizes)
    inside = np.all((thermal[rows, :2] > 0) & (thermal[rows, 2:] < (640, 480)), axis=1)
    assert inside.sum() > 50
    assert np.diag(intersection_over_union(carried[inside], thermal[rows][inside])).min() > 0.9
