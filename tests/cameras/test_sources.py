from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_reid.cameras.capture import open_capture
from edge_reid.cameras.sources import LiveSource, Source, open_source
from edge_reid.errors import UserError


class CountingCamera:
    """An MJPEG camera over HTTP whose picture's shade is the number of its frame, twenty a second."""

    def __init__(self, port: int = 0) -> None:
        camera = self
        self.sent = 0
        self.stopped = threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                while not camera.stopped.wait(0.05):
                    camera.sent += 1
                    shade = np.full((64, 64, 3), camera.sent % 200, np.uint8)
                    body = cv2.imencode(".jpg", shade)[1].tobytes()
                    try:
                        self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n")
                        self.wfile.write(b"Content-Length: %d\r\n\r\n%s\r\n" % (len(body), body))
                    except OSError:
                        return

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def camera() -> Iterator[CountingCamera]:
    counting = CountingCamera()
    yield counting
    counting.close()


def wait_for(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


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


def test_a_slow_reader_gets_the_newest_frame(camera: CountingCamera) -> None:
    source = start(open_source(f"http://127.0.0.1:{camera.port}/", "visible", offline=False))
    assert wait_for(lambda: source.read() is not None)
    sent = camera.sent
    assert wait_for(lambda: camera.sent >= sent + 20)
    before = camera.sent
    frame = source.read()
    source.close()
    assert frame is not None
    shown = round(float(frame.image.mean()))
    # OpenCV hands out a frame when the next one begins, and a busy machine is later still; the buffer is twenty behind
    assert before - 10 <= shown <= camera.sent
    assert isinstance(source, LiveSource)
    assert source.dropped >= 5


def test_a_camera_that_drops_and_returns_is_reopened(camera: CountingCamera) -> None:
    url = f"http://127.0.0.1:{camera.port}/"
    source = LiveSource(url, "visible", open_capture(url), lambda: open_capture(url), first_pause=0.05)
    start(source)
    assert wait_for(lambda: source.read() is not None)
    camera.close()
    assert wait_for(lambda: source.state == "down")
    returned = CountingCamera(camera.port)
    try:
        assert wait_for(lambda: source.state == "up" and source.read() is not None)
        assert source.reconnects == 1
    finally:
        source.close()
        returned.close()


def test_a_corrupt_picture_of_a_paced_folder_reaches_the_reader(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "2.png").write_bytes(b"not a picture")
    source = start(open_source(str(tmp_path), "visible", offline=False))
    with pytest.raises(UserError, match=r"2.png: not a picture"):
        wait_for(lambda: source.read() is not None and False, seconds=3.0)


def test_a_live_camera_cannot_run_offline() -> None:
    with pytest.raises(UserError, match=r"rtsp://\*\*\*@camera: a live camera cannot run offline"):
        open_source("rtsp://user:secret@camera", "visible", offline=True)


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
    assert isinstance(source, LiveSource)
    assert source.received == 20
    assert source.reconnects == 0
