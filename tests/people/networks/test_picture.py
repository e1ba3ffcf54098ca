from __future__ import annotations

import numpy as np
import pytest

from edge_reid.people.networks.picture import Canvas, Fit, Pixels

SIZE = (64, 96)


@pytest.mark.parametrize("fit", ["corner", "center", "stretch"])
@pytest.mark.parametrize("shape", [(128, 192, 3), (200, 120, 3), (40, 300), (64, 96), (30, 20, 3)])
def test_what_is_seen_in_the_input_comes_back_to_where_it_was(fit: Fit, shape: tuple[int, ...]) -> None:
    frame = np.zeros(shape, np.uint8)
    box = np.array([shape[1] * 0.25, shape[0] * 0.5, shape[1] * 0.75, shape[0] * 0.75]).round().astype(int)
    frame[box[1] : box[3], box[0] : box[2]] = 255
    canvas = Canvas(SIZE, Pixels("BGR"), fit)
    picture = canvas.put(frame)[0]
    assert picture.shape == (3, *SIZE)
    assert np.array_equal(picture[0], picture[2])
    rows, columns = np.nonzero(picture[1] > 127)
    edges = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    pixel = max(shape[0] / SIZE[0], shape[1] / SIZE[1])
    assert np.abs(canvas.back(edges)[0] - box).max() <= 1.0 + pixel


def test_the_border_is_grey_and_the_order_of_channels_as_asked() -> None:
    frame = np.zeros((32, 96, 3), np.uint8)
    frame[:] = (10, 20, 30)
    corner = Canvas(SIZE, Pixels("RGB", (1.0, 2.0, 3.0), (2.0, 4.0, 8.0)), "corner").put(frame)[0]
    for channel, value, border in zip(corner, (14.5, 4.5, 0.875), (56.5, 28.0, 13.875), strict=True):
        assert (channel[:32] == value).all()
        assert (channel[32:] == border).all()
    center = Canvas(SIZE, Pixels("BGR"), "center").put(frame)[0]
    assert (center[0, 16:48] == 10).all()
    assert (center[0, :16] == 114).all() and (center[0, 48:] == 114).all()
    stretched = Canvas(SIZE, Pixels("BGR"), "stretch").put(frame)[0]
    assert (stretched == np.array([10, 20, 30])[:, None, None]).all()


def test_frames_of_a_new_size_leave_nothing_of_the_old_ones() -> None:
    canvas = Canvas(SIZE, Pixels("BGR"), "corner")
    canvas.put(np.full((64, 96, 3), 255, np.uint8))
    picture = canvas.put(np.zeros((64, 32), np.uint8))[0]
    assert (picture[:, :, :32] == 0).all()
    assert (picture[:, :, 32:] == 114).all()
