"""What clicks make, where they are in the frames, and the picture that goes with them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_reid.cameras.alignment import Pair, align_pairs
from edge_reid.errors import UserError
from edge_reid.live.clicking import BELOW, ENLARGED, LOUPE, Clicks
from edge_reid.live.drawing import GAP, PANEL_HEIGHT, PANEL_WIDTH, Image
from edge_reid.live.overlap import Panel
from edge_reid.types import Modality

POINTS = ((100.0, 400.0), (500.0, 420.0), (420.0, 200.0), (220.0, 210.0), (330.0, 330.0))


def frames() -> dict:  # type: ignore[type-arg]
    """A visible view twice as large as its panel, and a small thermal one that is wider than tall."""
    rng = np.random.default_rng(0)
    return {
        "visible": rng.integers(0, 255, (960, 1280, 3), dtype=np.uint8),
        "thermal": rng.integers(90, 110, (120, 200), dtype=np.uint8),
    }


def press(clicks: Clicks, start: tuple[float, float], end: tuple[float, float] | None = None) -> None:
    """A click at a place of the picture, or a line drawn to another."""
    clicks.handle(cv2.EVENT_LBUTTONDOWN, round(start[0]), round(start[1]))
    x, y = end or start
    clicks.handle(cv2.EVENT_MOUSEMOVE, round(x), round(y))
    clicks.handle(cv2.EVENT_LBUTTONUP, round(x), round(y))


def thermal_place(x: float, y: float) -> tuple[float, float]:
    """Of a point that lies at (x, y) of the visible panel, moved a bit, in the thermal panel's frame."""
    return PANEL_WIDTH + GAP + 0.9 * x + 20, 48 + 0.8 * y


def test_points_are_in_pixels_of_the_frames_whatever_their_size() -> None:
    clicks = Clicks(frames())
    press(clicks, (320, 240))
    assert clicks.waiting["visible"].point == (640.0, 480.0) and not clicks.pairs
    press(clicks, (PANEL_WIDTH + GAP + 320, 240))
    # 200 x 120 fills the panel's width: 640 x 384 with 48 rows above
    assert clicks.pairs == [Pair((640.0, 480.0), (100.0, 60.0))]
    press(clicks, (PANEL_WIDTH + GAP + 64, 10))
    assert clicks.waiting["thermal"].point == (20.0, 0.0), "beside the frame its edge is meant"
    press(clicks, (PANEL_WIDTH + GAP + 64, 48 + 32))
    assert clicks.waiting["thermal"].point == (20.0, 10.0), "a second click in one view replaces the first"


def test_a_line_from_feet_to_head_tells_the_height() -> None:
    clicks = Clicks(frames())
    press(clicks, (PANEL_WIDTH + GAP + 320, 240), (PANEL_WIDTH + GAP + 325, 144))
    press(clicks, (320, 240), (318, 100))
    assert clicks.pairs == [Pair((640.0, 480.0), (100.0, 60.0), (280.0, 30.0))]
    press(clicks, (100, 300), (100, 200))
    press(clicks, (PANEL_WIDTH + GAP + 64, 200))
    assert clicks.pairs[1].heights is None, "half a height is none"


def test_clicks_below_the_views_are_none_and_drawing_may_end_there() -> None:
    clicks = Clicks(frames())
    press(clicks, (300, PANEL_HEIGHT + 20))
    assert not clicks.waiting
    press(clicks, (300, PANEL_HEIGHT - 20), (300, PANEL_HEIGHT + 20))
    assert clicks.waiting["visible"].height is None


def test_undo_takes_back_half_a_pair_first_and_then_pairs() -> None:
    clicks = Clicks(frames())
    for x, y in POINTS:
        press(clicks, (x, y))
        press(clicks, thermal_place(x, y))
    assert len(clicks.pairs) == 5 and clicks.alignment is not None
    press(clicks, (10, 10))
    clicks.undo()
    assert len(clicks.pairs) == 5 and not clicks.waiting
    for left in (4, 3, 2, 1, 0, 0):
        clicks.undo()
        assert len(clicks.pairs) == left
        assert (clicks.alignment is not None) == (left >= 4)
    assert "at least 4" in clicks.complaint


def test_the_alignment_is_that_of_the_pairs_and_pairs_can_be_gone_on_with() -> None:
    clicks = Clicks(frames())
    for x, y in POINTS:
        press(clicks, (x, y))
        press(clicks, thermal_place(x, y))
    expected = align_pairs(clicks.made)
    assert clicks.alignment is not None
    np.testing.assert_array_equal(clicks.alignment.ground.visible_to_thermal, expected.ground.visible_to_thermal)
    assert np.median(expected.pixels) < 0.5, "the mouse is exact to a pixel of the window, a third of the thermal one"
    again = Clicks(frames(), list(clicks.made.pairs))
    assert again.made == clicks.made and again.alignment is not None


@pytest.mark.parametrize("count", [0, 1, 4, 5, 23])
def test_the_picture_has_one_size_and_shows_every_state(count: int) -> None:
    clicks = Clicks(frames())
    rng = np.random.default_rng(0)
    pictures = [clicks.draw()]
    for x, y in [*POINTS, *rng.uniform((20, 20), (620, 460), (30, 2))][:count]:
        press(clicks, (x, y))
        pictures.append(clicks.draw())
        press(clicks, thermal_place(x, y))
    clicks.handle(cv2.EVENT_LBUTTONDOWN, 300, 300)
    clicks.handle(cv2.EVENT_MOUSEMOVE, 310, 200)
    pictures.append(clicks.draw())
    assert {picture.shape for picture in pictures} == {(PANEL_HEIGHT + BELOW, 2 * PANEL_WIDTH + GAP, 3)}
    assert len({picture.tobytes() for picture in pictures}) == len(pictures), "each state looks different"


def test_the_loupe_shows_the_point_that_a_click_would_take() -> None:
    images = frames()
    images["visible"][:] = 0
    images["visible"][481:484, 641:644] = 255  # right below (640, 480)
    clicks = Clicks(images)
    clicks.handle(cv2.EVENT_MOUSEMOVE, 320, 240)
    loupe = clicks.draw()[PANEL_HEIGHT + 10 : PANEL_HEIGHT + 10 + LOUPE, 10 : 10 + LOUPE]
    rows, columns = np.nonzero(loupe.min(axis=2) > 250)
    middle = LOUPE // 2
    assert abs(rows.min() - (middle + ENLARGED)) <= 3 and abs(columns.min() - (middle + ENLARGED)) <= 3
    assert rows.max() - rows.min() == pytest.approx(3 * ENLARGED, abs=2)


def test_a_point_of_a_panel_is_where_the_panel_shows_it() -> None:
    for shape in ((120, 160), (512, 640), (1080, 1920), (640, 480)):
        panel = Panel.of(np.zeros(shape, np.uint8))
        points = np.random.default_rng(0).uniform((0, 0), shape[::-1], (50, 2))
        places = panel.place(points)
        back = np.array([panel.point(*place) for place in places])
        assert np.abs(back - points).max() <= 0.51 / panel.scale
        assert np.all((places >= 0) & (places <= (PANEL_WIDTH, PANEL_HEIGHT)))


def test_next_pictures_that_do_not_come_or_do_not_fit_are_said_and_the_old_ones_stay() -> None:
    clicks = Clicks(frames())
    before, quiet = clicks.frames, clicks.draw()

    def none() -> dict[Modality, Image]:
        raise UserError("there is no further picture")

    clicks.renew(none)
    assert clicks.frames is before and clicks.notice == "there is no further picture"
    assert not np.array_equal(clicks.draw(), quiet)
    clicks.renew(lambda: {**frames(), "thermal": np.zeros((60, 80), np.uint8)})
    assert clicks.frames is before and "another size" in clicks.notice
    later = frames()
    clicks.renew(lambda: later)
    assert clicks.frames is later and clicks.notice == ""
