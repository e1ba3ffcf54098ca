"""The ground between two views: who stands where the other stands, and files that hold no homography."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_reid.cameras.geometry import GroundPlane
from edge_reid.errors import UserError
from edge_reid.types import Modality

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
