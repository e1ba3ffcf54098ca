"""The one step between a picture and a crop."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_reid.errors import UserError
from edge_reid.preprocess import read_crop, read_image, resize


def test_visible_pictures_are_bgr_and_thermal_ones_have_one_plane(tmp_path: Path) -> None:
    picture = np.zeros((20, 10, 3), np.uint8)
    picture[..., 2] = 200  # red
    path = tmp_path / "c1_0.png"
    cv2.imwrite(str(path), picture)
    assert np.array_equal(read_image(path, "visible"), picture)
    assert read_image(path, "thermal").shape == (20, 10)


def test_shrinking_averages_areas() -> None:
    picture = np.arange(16, dtype=np.uint8).reshape(4, 4) * 10
    assert np.array_equal(resize(picture, (2, 2)), [[25, 45], [105, 125]])


def test_a_crop_of_the_right_size_is_not_touched() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 4, 3), dtype=np.uint8)
    assert resize(picture, (8, 4)) is picture


@pytest.mark.parametrize("content", [b"", b"not a picture", None], ids=["empty", "text", "missing"])
def test_a_bad_picture_is_named_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "c1_broken.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"c1_broken\.jpg") as caught:
        read_crop(path, "visible", (8, 4))
    assert "\n" not in str(caught.value)
