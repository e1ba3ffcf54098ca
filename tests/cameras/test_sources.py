from __future__ import annotations

import http.server
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_reid.cameras.sources import Source, open_source
from edge_reid.errors import UserError
from edge_reid.preprocess import read_image
from edge_reid.types import Modality
from tests.cameras.waiting import wait_for


def start(source: Source) -> Source:
    source.start(time.monotonic(), threading.Event())
    return source


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 20, (32, 32))
    for shade in range(0, 200, 10):
        writer.write(np.full((32, 32, 3), shade, np.uint8))
    writer.release()
    return path


def test_offline_gives_every_frame_with_its_time_and_then_ends(clip: Path) -> None:
    source = open_source(str(clip), "visible", offline=True)
    frames = []
    while (frame := source.read()) is not None:
        frames.append(frame)
    assert [frame.index for frame in frames] == list(range(20))
    assert [frame.time for frame in frames] == [index / 20 for index in range(20)]
    assert frames[3].image.shape == (32, 32, 3)
    assert source.state == "ended"


def test_thermal_frames_are_grey(clip: Path) -> None:
    frame = open_source(str(clip), "thermal", offline=True).read()
    assert frame is not None
    assert frame.image.shape == (32, 32)
    assert frame.image.dtype == np.uint8


def test_a_grey_or_deep_picture_becomes_a_visible_frame(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.full((8, 8), 65_535, np.uint16))
    frame = open_source(str(tmp_path), "visible", offline=True).read()
    assert frame is not None
    assert frame.image.shape == (8, 8, 3)
    assert frame.image.min() == 255


def test_a_file_at_its_own_pace_ends_with_its_last_frame_and_keeps_time(clip: Path) -> None:
    source = open_source(str(clip), "visible", offline=False)
    epoch = time.monotonic()
    source.start(epoch, threading.Event())
    frames = []
    while source.state != "ended":
        if (frame := source.read()) is not None:
            frames.append(frame)
            assert time.monotonic() - epoch >= frame.time, "no frame comes before its time"
        time.sleep(0.005)
    assert frames[-1].index == 19
    assert all(frame.time == frame.index / 20 for frame in frames)
    assert source.read() is None


def test_a_corrupt_picture_of_a_paced_folder_reaches_the_reader(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "2.png").write_bytes(b"not a picture")
    source = start(open_source(str(tmp_path), "visible", offline=False))
    with pytest.raises(UserError, match=r"2.png: not a picture"):
        wait_for(lambda: source.read() is not None and False, seconds=3.0)


def test_a_picture_that_goes_missing_reaches_the_reader(tmp_path: Path) -> None:
    for number in (1, 2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((8, 8, 3), np.uint8))
    source = open_source(str(tmp_path), "visible", offline=False)
    (tmp_path / "2.png").unlink()
    start(source)
    with pytest.raises(UserError, match=r"2.png: cannot be read"):
        wait_for(lambda: source.read() is not None and False, seconds=3.0)


def test_a_file_behind_a_url_ends(clip: Path) -> None:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(clip.parent))

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = start(
            open_source(f"http://127.0.0.1:{server.server_address[1]}/{clip.name}", "visible", offline=False)
        )
        assert wait_for(lambda: source.read() is None and source.state == "ended", seconds=10.0)
        server.shutdown()
    assert source.health().received == 20
    assert source.health().reconnects == 0


def test_a_folder_that_loops_never_ends_and_keeps_its_time(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((8, 8, 3), number, np.uint8))
    source = open_source(f"{tmp_path}?loop=1&fps=50&delay=0.5", "visible", offline=True)
    frames = [source.read() for _ in range(8)]
    assert [frame and int(frame.image[0, 0, 0]) for frame in frames] == [1, 2, 3, 1, 2, 3, 1, 2]
    assert [frame and frame.time for frame in frames] == [pytest.approx(index / 50 - 0.5) for index in range(8)]
    assert (source.state, source.rate, source.delay) == ("up", 50.0, 0.5)
    playing = start(open_source(f"{tmp_path}?loop=1&fps=50", "visible", offline=False))
    assert wait_for(lambda: playing.health().received >= 8, 3.0)
    assert playing.state == "up"
    playing.close()


def test_a_file_tells_how_it_goes(clip: Path) -> None:
    source = open_source(str(clip), "visible", offline=False)
    assert (source.health().state, source.health().size, source.health().age) == ("up", None, None)
    start(source)
    assert wait_for(lambda: source.read() is not None and source.health().received >= 10)
    health = source.health()
    source.close()
    assert health.size == (32, 32)
    assert 5 < health.rate < 25
    assert health.age is not None and health.age < 1.0


@pytest.mark.parametrize(
    ("flip", "expected"),
    [
        ("0", [[1, 2], [3, 4]]),
        ("90", [[3, 1], [4, 2]]),
        ("180", [[4, 3], [2, 1]]),
        ("270", [[2, 4], [1, 3]]),
        ("h", [[2, 1], [4, 3]]),
        ("v", [[3, 4], [1, 2]]),
    ],
)
@pytest.mark.parametrize("modality", ["visible", "thermal"])
def test_pictures_are_turned(tmp_path: Path, flip: str, expected: list[list[int]], modality: Modality) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.array([[1, 2], [3, 4]], np.uint8))
    frame = open_source(f"{tmp_path}?flip={flip}", modality, offline=True).read()
    assert frame is not None
    assert (frame.image if modality == "thermal" else frame.image[:, :, 1]).tolist() == expected
    assert frame.image.flags.c_contiguous or flip == "0"


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_training_and_the_app_see_the_same_in_a_sixteen_bit_picture(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    for number, shape in enumerate([(512, 640), (64, 32), (33, 17)]):
        path = tmp_path / f"{number}.{suffix}"
        cv2.imwrite(str(path), (29_500 + rng.normal(0, 120, shape)).astype(np.uint16))
        frame = open_source(f"{tmp_path}/{number}.*", "thermal", offline=True).read()
        assert frame is not None
        np.testing.assert_array_equal(read_image(path, "thermal"), frame.image)
        assert len(np.unique(frame.image)) > 100, "all shades, where the upper byte alone would have two"


def test_a_thermal_picture_of_floating_point_numbers_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.tiff"), np.full((8, 8), 21.5, np.float32))
    with pytest.raises(UserError, match=r"1\.tiff: holds float32 values; convert it to 8 or 16 bits"):
        read_image(tmp_path / "1.tiff", "thermal")
    with pytest.raises(UserError, match="float32"):
        open_source(str(tmp_path), "thermal", offline=True).read()


def test_telemetry_is_cut_off_before_it_can_spoil_the_gain(tmp_path: Path) -> None:
    counts = np.full((122, 160), 30_000, np.uint16)
    counts[:60] += 900
    counts[120:] = np.random.default_rng(0).integers(0, 65_536, (2, 160))
    cv2.imwrite(str(tmp_path / "1.png"), counts)
    frame = open_source(f"{tmp_path}?telemetry=2", "thermal", offline=True).read()
    assert frame is not None
    assert frame.image.shape == (120, 160)
    assert np.unique(frame.image).tolist() == [0, 255]


def test_degrees_of_a_radiometric_film_become_fixed_shades(tmp_path: Path) -> None:
    degrees = np.array([[-10.0, 5.0, 22.5], [40.0, 60.0, 37.0]])
    for number, warmer in enumerate((0.0, 1.0)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.round((degrees + warmer + 273.15) * 100).astype(np.uint16))
    source = open_source(f"{tmp_path}?celsius=5..40", "thermal", offline=True)
    for warmer in (0.0, 1.0):
        frame = source.read()
        assert frame is not None
        expected = np.clip((degrees + warmer - 5.0) * 255 / 35, 0, 255)
        assert np.abs(frame.image - expected).max() <= 0.6
