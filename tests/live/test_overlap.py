"""The picture of how two views fit: what lies on what."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_reid.cameras.alignment import Alignment, Pair, Pairs, align_pairs
from edge_reid.live.drawing import GAP, PANEL_HEIGHT, PANEL_WIDTH
from edge_reid.live.overlap import GOOD, POOR, SEEN, draw_overlap, quality, readable

POINTS = ((100.0, 400.0), (500.0, 420.0), (420.0, 200.0), (220.0, 210.0), (330.0, 330.0), (300.0, 300.0))
SIZES = {"visible": (480, 640), "thermal": (240, 320)}
HERE = (PANEL_HEIGHT + GAP, 0)
"""(row, column) of the overlap in the picture."""


def alignment(*, heights: tuple[float, float] | None = (160.0, 80.0)) -> Alignment:
    """The thermal view shows the same at half the size, and 20 pixels to the right."""
    pairs = tuple(Pair((x, y), (0.5 * x + 20, 0.5 * y), heights) for x, y in POINTS)
    return align_pairs(Pairs(SIZES, pairs))  # type: ignore[arg-type]


def frames() -> dict:  # type: ignore[type-arg]
    visible = np.zeros((480, 640, 3), np.uint8)
    visible[300:360, 400:460] = (0, 0, 250)
    return {"visible": visible, "thermal": np.tile(np.arange(320, dtype=np.uint8) // 8 + 90, (240, 1))}


def test_the_visible_floor_lies_where_the_homography_puts_it() -> None:
    picture = draw_overlap(frames(), alignment())
    assert picture.shape == (2 * PANEL_HEIGHT + GAP, 2 * PANEL_WIDTH + GAP, 3)
    overlap = picture[HERE[0] :, :PANEL_WIDTH].astype(int)
    # the red square is at 220..250, 150..180 of the thermal frame, which the panel shows twice as large
    reddish = overlap[:, :, 2] - overlap[:, :, 1] > 60
    rows, columns = np.nonzero(reddish)
    assert (rows.min(), rows.max()) == (pytest.approx(300, abs=6), pytest.approx(360, abs=6))
    assert (columns.min(), columns.max()) == (pytest.approx(440, abs=6), pytest.approx(500, abs=6))
    outline = np.all(overlap == SEEN, axis=2)
    assert outline[300:360, 430:446].sum() > 30, "its left edge is drawn out"
    assert not reddish[:, :300].any()


def test_residuals_are_lines_in_the_color_of_their_length() -> None:
    good = draw_overlap(frames(), alignment())
    shifted = alignment()
    poor = draw_overlap(frames(), replace(shifted, thermal=np.add(shifted.thermal, (30.0, 0.0))))

    def count(picture: np.ndarray, color: tuple[int, int, int]) -> int:  # type: ignore[type-arg]
        return int(np.all(picture[HERE[0] :, :PANEL_WIDTH] == color, axis=2).sum())

    assert count(good, GOOD) > 50 and count(good, POOR) == 0
    assert count(poor, GOOD) == 0 and count(poor, POOR) > 6 * 40, "thirty pixels are sixty in the panel"
    assert (quality(0.1), quality(0.26)) == (GOOD, POOR)


def test_what_is_left_out_or_not_known_is_drawn_too() -> None:
    some = alignment(heights=None)
    inliers = some.inliers.copy()
    inliers[0] = False
    pictures = [draw_overlap(frames(), each) for each in (some, replace(some, inliers=inliers), alignment())]
    assert len({picture.tobytes() for picture in pictures}) == 3


def test_a_thermal_image_of_few_greys_gets_all_of_them() -> None:
    dull = np.random.default_rng(0).integers(100, 110, (240, 320)).astype(np.uint8)
    clear = readable(dull)
    assert clear.min() == 0 and clear.max() == 255 and dull.max() < 110
    assert readable(np.full((8, 8), 7, np.uint8)).max() == 0, "one grey alone stays dark"
