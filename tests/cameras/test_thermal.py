from __future__ import annotations

import numpy as np

from edge_reid.cameras.thermal import PercentileGain, stretch

RNG = np.random.default_rng(0)


def room(offset: int = 0) -> np.ndarray:
    return (29_500 + offset + RNG.integers(0, 900, (48, 64))).astype(np.uint16)


def test_stretch_is_linear_between_its_limits_and_clips_outside() -> None:
    counts = RNG.integers(0, 65_536, (40, 50)).astype(np.uint16)
    expected = np.clip((counts.astype(np.float64) - 20_000) * 255 / 30_000, 0, 255)
    assert np.abs(stretch(counts, 20_000, 50_000) - expected).max() <= 0.51


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
