from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_reid.cameras.capture import open_capture, redact
from edge_reid.errors import UserError

RNG = np.random.default_rng(1)


def write_video(path: Path, pictures: list[np.ndarray], code: str, parameters: list[int]) -> None:
    size = pictures[0].shape[1::-1]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*code), 10, size, parameters)
    for picture in pictures:
        writer.write(picture)
    writer.release()


def pictures_of(uri: str) -> list[np.ndarray]:
    capture = open_capture(uri)
    pictures = []
    while (picture := capture.read()) is not None:
        pictures.append(picture)
    capture.close()
    return pictures


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("rtsp://user:pass@10.0.0.2:554/stream", "rtsp://***@10.0.0.2:554/stream"),
        ("rtsp://us.er:p@ss/w#rd@camera/live", "rtsp://***@camera/live"),
        ("rtsp://:secret@camera", "rtsp://***@camera"),
        ("http://camera/live.mjpg?user=a&password=secret", "http://camera/live.mjpg?***"),
        ("http://camera/live.mjpg", "http://camera/live.mjpg"),
        ("user:secret@camera/live", "***@camera/live"),
        ("videos/a@b.mp4", "videos/a@b.mp4"),
        ("0", "0"),
    ],
)
def test_passwords_are_never_shown(uri: str, shown: str) -> None:
    assert redact(uri) == shown


def test_a_folder_is_read_in_natural_order_and_by_pattern(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        cv2.imwrite(str(tmp_path / f"{number}_lwir.png"), np.full((4, 4), number, np.uint8))
        cv2.imwrite(str(tmp_path / f"{number}_visible.png"), np.full((4, 4, 3), 200, np.uint8))
    (tmp_path / "notes.txt").write_text("not a picture")
    assert [int(picture[0, 0]) for picture in pictures_of(f"{tmp_path}/*_lwir.png")] == [1, 9, 10]
    assert len(pictures_of(str(tmp_path))) == 6


def test_sixteen_bit_pictures_keep_their_bits(tmp_path: Path) -> None:
    counts = RNG.integers(29_000, 31_000, (24, 32)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "1.png"), counts)
    (picture,) = pictures_of(str(tmp_path))
    assert picture.dtype == np.uint16
    assert np.array_equal(picture, counts)


def test_sixteen_bit_video_keeps_its_bits(tmp_path: Path) -> None:
    counts = RNG.integers(29_000, 31_000, (24, 32)).astype(np.uint16)
    depth = [cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
    write_video(tmp_path / "t.mkv", [counts] * 3, "FFV1", depth)
    pictures = pictures_of(str(tmp_path / "t.mkv"))
    assert len(pictures) == 3
    assert all(np.array_equal(picture, counts) for picture in pictures)


def test_a_video_gives_every_frame_and_then_none(tmp_path: Path) -> None:
    write_video(tmp_path / "v.avi", [np.full((32, 32, 3), shade, np.uint8) for shade in range(0, 250, 25)], "MJPG", [])
    pictures = pictures_of(str(tmp_path / "v.avi"))
    assert [round(picture.mean() / 25) for picture in pictures] == list(range(10))


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("missing.mp4", "no such file or folder"),
        ("missing/*.png", "no such folder"),
        ("rtmp://user:secret@camera/live", r"rtmp://\*\*\*@camera/live: unknown kind of URL"),
        ("http://user:secret@127.0.0.1:9/live", r"http://\*\*\*@127.0.0.1:9/live: does not open; check the address"),
        ("99", "camera 99: does not open; check the cable"),
    ],
)
def test_what_does_not_open_is_told_in_one_line_without_the_password(
    uri: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        open_capture(uri)
    printed = capfd.readouterr()
    assert "secret" not in str(error.value) + printed.out + printed.err


def test_files_that_hold_no_pictures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"empty.mp4: does not open; give a video"):
        open_capture(str(tmp_path / "empty.mp4"))
    with pytest.raises(UserError, match="no PNG or JPEG there"):
        open_capture(str(tmp_path / "folder"))


def test_a_corrupt_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"not a picture")
    with pytest.raises(UserError, match=r"1.png: not a picture"):
        pictures_of(str(tmp_path))
