from __future__ import annotations

import numpy as np

from edge_reid.cameras.thermal import PercentileGain, Radiometry, eight_bits, percentile_limits, stretch

RNG = np.random.default_rng(0)


def room(offset: int = 0) -> np.ndarray:
    return (29_500 + offset + RNG.integers(0, 900, (48, 64))).astype(np.uint16)


def test_stretch_is_linear_between_its_limits_and_clips_outside() -> None:
    counts = RNG.integers(0, 65_536, (40, 50)).astype(np.uint16)
    expected = np.clip((counts.astype(np.float64) - 20_000) * 255 / 30_000, 0, 255)
    assert np.abs(stretch(counts, (20_000, 50_000)) - expected).max() <= 0.51


def test_sixteen_bits_fill_the_eight() -> None:
    image = PercentileGain()(room(), 0.0)
    assert image.dtype == np.uint8
    assert image.shape == (48, 64)
    assert image.min() == 0 and image.max() == 255
    assert 100 < image.mean() < 155


def test_eight_bits_pass_unchanged() -> None:
    grey = RNG.integers(0, 255, (30, 40)).astype(np.uint8)
    gain = PercentileGain()
    assert np.array_equal(gain(grey, 0.0), grey)
    assert np.array_equal(gain(np.stack([grey] * 3, axis=2), 0.1), grey)


def test_a_jump_in_temperature_is_followed_slowly() -> None:
    gain = PercentileGain(seconds=1.0)
    gain(room(), 0.0)
    soon, late = gain(room(2_000), 0.1).mean(), gain(room(2_000), 8.0).mean()
    assert soon > 200, "shown by the old limits the room is white"
    assert 100 < late < 155, "by now it is normal again"


def test_a_blank_shutter_picture_stays_flat() -> None:
    blank = (30_000 + RNG.integers(0, 4, (48, 64))).astype(np.uint16)
    assert np.ptp(PercentileGain()(blank, 0.0)) < 20


def test_percentiles_of_a_share_of_the_pixels_are_those_of_all() -> None:
    counts = (29_500 + RNG.normal(0, 200, (512, 640))).astype(np.uint16)
    np.testing.assert_allclose(percentile_limits(counts), np.percentile(counts, (1, 99)), atol=25)
    small = counts[:100, :100]
    assert percentile_limits(small) == tuple(np.percentile(small, (1, 99)))


def test_a_picture_alone_looks_as_the_first_of_a_film() -> None:
    counts = room()
    assert np.array_equal(eight_bits(counts), PercentileGain()(counts, 0.0))


def test_while_the_shutter_is_closed_the_gain_holds() -> None:
    gain, scene = PercentileGain(), room()
    before = gain(scene, 0.0)
    for step in range(1, 10):
        gain(scene, 0.1 * step)
    flat = (29_900 + RNG.integers(0, 6, (48, 64))).astype(np.uint16)
    closed = [gain(flat, 1.0 + 0.1 * step) for step in range(10)]
    assert all(np.ptp(image) < 10 for image in closed), "as flat as it is"
    assert np.abs(gain(scene, 2.0).astype(int) - before).max() <= 1, "and the scene returns as it was"


def test_a_jump_of_the_whole_picture_is_no_reason_either_until_it_stays() -> None:
    gain = PercentileGain(seconds=1.0)
    before = gain(room(), 0.0)
    for step in range(15):
        assert gain(room(5_000), 0.1 + 0.1 * step).min() == 255
    after = gain(room(), 1.7)
    assert abs(float(after.mean()) - float(before.mean())) < 5
    for step in range(100):
        image = gain(room(5_000), 2.0 + 0.1 * step)
    assert 100 < image.mean() < 155, "the new scene"


def test_a_camera_that_begins_with_a_closed_shutter_is_seen_at_once_when_it_opens() -> None:
    gain = PercentileGain()
    gain(np.full((48, 64), 31_000, np.uint16), 0.0)
    assert 100 < gain(room(), 0.1).mean() < 155


def test_fixed_limits_may_lie_below_every_count() -> None:
    radiometry = Radiometry(scale=0.1, offset=0.0, celsius=(-10.0, 10.0))
    image = PercentileGain(radiometry)(np.array([[0, 50, 100, 65_535]], np.uint16), 0.0)
    assert np.abs(image - np.array([[127.5, 191.25, 255, 255]])).max() <= 0.51
