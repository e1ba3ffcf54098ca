from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_reid.cameras.capture import driver_time, open_capture
from edge_reid.cameras.uri import parse_uri
from edge_reid.errors import UserError

RNG = np.random.default_rng(1)


def write_video(path: Path, pictures: list[np.ndarray], code: str, parameters: list[int]) -> None:
    size = pictures[0].shape[1::-1]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*code), 10, size, parameters)
    for picture in pictures:
        writer.write(picture)
    writer.release()


def pictures_of(uri: str, most: int = 1000) -> list[np.ndarray]:
    capture = open_capture(parse_uri(uri))
    pictures: list[np.ndarray] = []
    while len(pictures) < most and (shot := capture.read()) is not None:
        pictures.append(shot.picture)
    capture.close()
    return pictures


def test_a_folder_is_read_in_natural_order_and_by_pattern(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        cv2.imwrite(str(tmp_path / f"{number}_lwir.png"), np.full((4, 4), number, np.uint8))
        cv2.imwrite(str(tmp_path / f"{number}_visible.png"), np.full((4, 4, 3), 200, np.uint8))
    (tmp_path / "notes.txt").write_text("not a picture")
    assert [int(picture[0, 0]) for picture in pictures_of(f"{tmp_path}/*_lwir.png")] == [1, 9, 10]
    assert len(pictures_of(str(tmp_path))) == 6
    assert open_capture(parse_uri(f"{tmp_path}?fps=8")).rate == 8.0


def test_what_loops_begins_again(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((4, 4), number, np.uint8))
    write_video(tmp_path / "v.avi", [np.full((32, 32, 3), shade, np.uint8) for shade in (50, 150)], "MJPG", [])
    assert [int(picture[0, 0]) for picture in pictures_of(f"{tmp_path}/*.png?loop=1", most=7)] == [1, 2, 3, 1, 2, 3, 1]
    assert [round(picture.mean() / 50) for picture in pictures_of(f"{tmp_path}/v.avi?loop=1", most=5)] == [
        1,
        3,
        1,
        3,
        1,
    ]


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bit_pictures_keep_their_bits(tmp_path: Path, suffix: str) -> None:
    counts = RNG.integers(29_000, 31_000, (24, 32)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / f"1.{suffix}"), counts)
    (picture,) = pictures_of(f"{tmp_path}?bits=16")
    assert picture.dtype == np.uint16
    assert np.array_equal(picture, counts)


def test_sixteen_bit_video_keeps_its_bits(tmp_path: Path) -> None:
    counts = RNG.integers(29_000, 31_000, (24, 32)).astype(np.uint16)
    depth = [cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
    write_video(tmp_path / "t.mkv", [counts] * 3, "FFV1", depth)
    pictures = pictures_of(str(tmp_path / "t.mkv"))
    assert len(pictures) == 3
    assert all(np.array_equal(picture, counts) for picture in pictures)


@pytest.mark.parametrize("option", ["bits=16", "celsius=5..40"])
def test_a_source_of_too_few_bits_is_refused(tmp_path: Path, option: str) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((8, 8), np.uint8))
    write_video(tmp_path / "v.avi", [np.zeros((32, 32, 3), np.uint8)], "MJPG", [])
    for uri in (f"{tmp_path}?{option}", f"{tmp_path}/v.avi?{option}"):
        with pytest.raises(UserError, match="gives 8-bit pictures; leave bits and celsius out"):
            pictures_of(uri)


def test_a_video_gives_every_frame_and_then_none(tmp_path: Path) -> None:
    write_video(tmp_path / "v.avi", [np.full((32, 32, 3), shade, np.uint8) for shade in range(0, 250, 25)], "MJPG", [])
    pictures = pictures_of(str(tmp_path / "v.avi"))
    assert [round(picture.mean() / 25) for picture in pictures] == list(range(10))
    assert open_capture(parse_uri(f"{tmp_path}/v.avi")).rate == 10.0
    assert open_capture(parse_uri(f"{tmp_path}/v.avi?fps=25")).rate == 25.0


class Recorder:
    """In OpenCV's place, for no machine has a thermal camera: tells what it was asked for."""

    calls: list[tuple[object, ...]]

    def __init__(self, *arguments: object) -> None:
        Recorder.calls = [("open", *arguments)]

    def set(self, key: int, value: float) -> bool:
        Recorder.calls.append((key, value))
        return True

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        return True

    def get(self, key: int) -> float:
        return 0.0

    def grab(self) -> bool:
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.zeros((122, 160), np.uint16)

    def release(self) -> None:
        pass


@pytest.mark.parametrize("words", ["fourcc=Y16", "bits=16"])
def test_a_thermal_usb_camera_is_asked_for_its_counts_before_their_conversion_is_switched_off(
    monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Recorder)
    shot = open_capture(parse_uri(f"v4l2:/dev/v4l/by-id/lepton?{words}&size=160x122&fps=9")).read()
    assert shot is not None and shot.picture.dtype == np.uint16
    assert Recorder.calls == [
        ("open", "/dev/v4l/by-id/lepton", cv2.CAP_V4L2),
        (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"Y16 ")),
        (cv2.CAP_PROP_FRAME_WIDTH, 160),
        (cv2.CAP_PROP_FRAME_HEIGHT, 122),
        (cv2.CAP_PROP_FPS, 9.0),
        (cv2.CAP_PROP_CONVERT_RGB, 0),
    ]


@pytest.mark.parametrize(
    ("stamp_ms", "taken"), [(99_990.0, 99.99), (0.0, 100.0), (100_050.0, 100.0), (98_000.0, 100.0), (1.7e12, 100.0)]
)
def test_the_drivers_time_counts_where_it_is_by_our_clock(stamp_ms: float, taken: float) -> None:
    assert driver_time(stamp_ms, 100.0) == pytest.approx(taken)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("missing/*.png", "no such folder"),
        ("http://user:secret@127.0.0.1:9/live", r"http://\*\*\*@127.0.0.1:9/live: does not open; check the address"),
        ("99", "camera 99: does not open; check the cable"),
        ("v4l2:/dev/video99", "/dev/video99: does not open; check the cable"),
    ],
)
def test_what_does_not_open_is_told_in_one_line_without_the_password(
    uri: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        open_capture(parse_uri(uri))
    printed = capfd.readouterr()
    assert "secret" not in str(error.value) + printed.out + printed.err


def test_files_that_hold_no_pictures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"empty.mp4: does not open; give a video"):
        open_capture(parse_uri(str(tmp_path / "empty.mp4")))
    with pytest.raises(UserError, match="no PNG, JPEG or TIFF there"):
        open_capture(parse_uri(str(tmp_path / "folder")))


def test_a_corrupt_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"not a picture")
    with pytest.raises(UserError, match=r"1.png: not a picture"):
        pictures_of(str(tmp_path))


def test_files_cut_at_any_place_end_or_are_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "v.avi", [RNG.integers(0, 255, (32, 32, 3)).astype(np.uint8)] * 5, "MJPG", [])
    whole = (tmp_path / "v.avi").read_bytes()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        damaged = bytearray(whole[: rng.integers(1, len(whole))])
        for place in rng.integers(0, len(damaged), 5):
            damaged[place] = rng.integers(0, 256)
        (tmp_path / "cut.avi").write_bytes(damaged)
        try:
            assert len(pictures_of(str(tmp_path / "cut.avi"), most=50)) <= 50
        except UserError as error:
            assert "cut.avi" in str(error)


def test_the_environment_keeps_what_somebody_set_for_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;udp")
    with pytest.raises(UserError, match="does not open"):
        open_capture(parse_uri("rtsp://127.0.0.1:9/"))
    assert os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] == "rtsp_transport;udp"
