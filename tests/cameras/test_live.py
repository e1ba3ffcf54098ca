"""A real camera over HTTP that fails in every way, and is taken up again whenever it is there."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_reid.cameras import live
from edge_reid.cameras.live import LiveSource
from edge_reid.cameras.sources import open_source
from edge_reid.errors import UserError
from tests.cameras.flaky import FlakyCamera, Mode, read_number, schedule
from tests.cameras.waiting import wait_for

REAL = Path(__file__).parents[3] / "shared" / "real"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"the real pictures are not at {REAL}")

FAILURES: tuple[Mode, ...] = ("drop", "stall", "refuse", "garbage", "freeze")


@pytest.fixture
def camera() -> Iterator[FlakyCamera]:
    flaky = FlakyCamera()
    yield flaky
    flaky.close()


def started(uri: str) -> LiveSource:
    source = open_source(uri, "visible", offline=False)
    assert isinstance(source, LiveSource)
    source.start(time.monotonic(), threading.Event())
    return source


def sees(source: LiveSource, camera: FlakyCamera, after: int) -> Callable[[], bool]:
    """Whether the source gives a frame that the camera made after that one."""

    def look() -> bool:
        frame = source.read()
        return frame is not None and after < read_number(frame.image) <= camera.sent

    return look


def test_frames_come_with_their_numbers_times_and_counts(camera: FlakyCamera) -> None:
    source = started(camera.url)
    epoch = time.monotonic()
    frames = []
    while len(frames) < 10 and time.monotonic() < epoch + 10:
        if (frame := source.read()) is not None:
            frames.append(frame)
        time.sleep(0.005)
    health = source.health()
    source.close()
    assert [frame.index for frame in frames] == sorted({frame.index for frame in frames})
    assert np.diff([frame.time for frame in frames]).min() > 0
    assert (
        abs(frames[-1].time - frames[0].time - (read_number(frames[-1].image) - read_number(frames[0].image)) / 20)
        < 0.2
    )
    assert health.state == "up" and health.problem is None and health.size == (240, 320)
    assert health.received >= 10 and health.reconnects == health.stalls == health.frozen == 0
    assert 0 < health.rate < 30, "the header says 25, the camera gives 20"
    assert health.age is not None and health.age < 1.0


def test_a_slow_reader_gets_the_newest_frame(camera: FlakyCamera) -> None:
    source = started(camera.url)
    assert wait_for(lambda: source.read() is not None)
    sent = camera.sent
    assert wait_for(lambda: camera.sent >= sent + 20)
    before = camera.sent
    frame = source.read()
    source.close()
    assert frame is not None
    # OpenCV hands out a frame when the next one begins, and a busy machine is later still; the buffer is twenty behind
    assert before - 10 <= read_number(frame.image) <= camera.sent
    assert source.health().dropped >= 5


def test_a_camera_that_is_absent_at_first_is_taken_up_when_it_comes(
    camera: FlakyCamera, caplog: pytest.LogCaptureFixture
) -> None:
    camera.mode = "refuse"
    source = started(camera.url)
    assert wait_for(lambda: source.health().problem is not None)
    time.sleep(1.0)
    assert [record.getMessage() for record in caplog.records] == [
        f"{camera.url}: connecting ({source.health().problem})"
    ], "once, however often it is tried"
    assert source.state == "connecting"
    assert source.health().age is None
    assert str(source.health().problem).startswith(f"{camera.url}: does not open; check the address")
    camera.mode = "ok"
    assert wait_for(lambda: source.read() is not None, seconds=5.0)
    assert source.state == "up"
    assert source.health().reconnects == 0 and source.health().problem is None
    source.close()


def test_after_every_failure_the_camera_is_back_within_five_seconds_of_its_return() -> None:
    cameras = {mode: FlakyCamera() for mode in FAILURES}
    sources = {mode: started(f"{camera.url}#timeout=1.5&frozen=1") for mode, camera in cameras.items()}
    for mode, camera in cameras.items():
        assert wait_for(sees(sources[mode], camera, -1))
        camera.mode = mode
    bad = {"drop": "down", "stall": "stalled", "refuse": "down", "garbage": "down", "freeze": "stalled"}
    for mode, state in bad.items():
        assert wait_for(lambda mode=mode, state=state: sources[mode].state == state, 6.0), mode  # type: ignore[misc]
    time.sleep(2.0)
    returned, numbers = time.monotonic(), {mode: camera.sent for mode, camera in cameras.items()}
    for camera in cameras.values():
        camera.mode = "ok"
    back: dict[Mode, float] = {}
    while len(back) < len(cameras) and time.monotonic() < returned + 12.0:
        for mode, camera in cameras.items():
            if mode not in back and sees(sources[mode], camera, numbers[mode] + 1)():
                back[mode] = time.monotonic() - returned
        time.sleep(0.01)
    health = {mode: source.health() for mode, source in sources.items()}
    for source in sources.values():
        source.close()
    for camera in cameras.values():
        camera.close()
    assert set(back) == set(FAILURES)
    assert max(back.values()) < 5.0, back
    assert all(health[mode].state == "up" and health[mode].reconnects >= 1 for mode in FAILURES)
    assert {mode: health[mode].stalls for mode in FAILURES} == {
        "drop": 0,
        "stall": 1,
        "refuse": 0,
        "garbage": 0,
        "freeze": 0,
    }
    assert {mode: health[mode].frozen for mode in FAILURES} == {
        "drop": 0,
        "stall": 0,
        "refuse": 0,
        "garbage": 0,
        "freeze": 1,
    }


def test_pictures_that_change_their_size_midway_keep_the_size_of_their_connection(camera: FlakyCamera) -> None:
    source = started(camera.url)
    assert wait_for(sees(source, camera, -1))
    camera.mode = "resize"
    sizes, sent = set(), camera.sent
    while camera.sent < sent + 15:
        if (frame := source.read()) is not None:
            sizes.add(frame.image.shape)
        time.sleep(0.01)
    source.close()
    assert sizes == {(240, 320, 3)}


def test_ten_losses_leave_no_thread_and_no_file_handle_behind(
    camera: FlakyCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(live, "LONGEST_PAUSE", 0.1)
    source = started(camera.url)
    readers: list[int] = []
    handles: list[int] = []
    for losses in range(11):
        assert wait_for(lambda losses=losses: source.state == "up" and source.health().reconnects == losses)  # type: ignore[misc]
        readers.append(sum(thread.name == f"{camera.url} reader" for thread in threading.enumerate()))
        handles.append(len(list(Path("/proc/self/fd").iterdir())))
        if losses < 10:
            camera.mode = "refuse"
            assert wait_for(lambda: source.state == "down")
            camera.mode = "ok"
    source.close()
    assert readers == [1] * 11
    assert max(handles[1:]) <= handles[0] + 1, "the server's side of a connection may still be closing"
    assert wait_for(lambda: not any(thread.name.startswith(camera.url) for thread in threading.enumerate()))


def test_a_password_from_the_environment_opens_the_camera_and_is_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    password = "p@ss/w#rd: $x?&%41"
    monkeypatch.setenv("CAMERA_PASSWORD", password)
    camera = FlakyCamera(login=f"admin:{password}")
    address = camera.url.removeprefix("http://")
    with caplog.at_level(logging.DEBUG):
        source = started(f"http://admin:$CAMERA_PASSWORD@{address}live?key=SECRETKEY#flip=180")
        assert wait_for(lambda: source.read() is not None)
        names = " ".join(thread.name for thread in threading.enumerate())
        camera.mode = "refuse"
        assert wait_for(lambda: source.state == "down" and "open" in str(source.health().problem))
    source.close()
    camera.close()
    assert camera.paths[0] == "/live?key=SECRETKEY"
    everything = f"{capfd.readouterr()} {caplog.text} {names} {source.name} {source.health()} {vars(source)}"
    assert "p@ss" not in everything and "p%40ss" not in everything and "SECRETKEY" not in everything


def test_a_malformed_uri_fails_at_once_and_a_camera_cannot_run_offline() -> None:
    with pytest.raises(UserError, match="http has no option fps"):
        open_source("http://camera/#fps=9", "visible", offline=False)
    with pytest.raises(UserError, match="celsius is for thermal cameras"):
        open_source("http://camera/#celsius=5..40", "visible", offline=False)
    with pytest.raises(UserError, match=r"rtsp://\*\*\*@camera: a live camera cannot run offline"):
        open_source("rtsp://user:secret@camera", "visible", offline=True)


def test_the_schedule_holds_every_failure_and_depends_on_its_seed_alone() -> None:
    assert list(schedule(3, 200.0)) == list(schedule(3, 200.0))
    assert list(schedule(3, 200.0)) != list(schedule(4, 200.0))
    assert {mode for _, mode in schedule(3, 120.0)} >= {*FAILURES, "ok", "resize"}


@needs_real
def test_the_camera_as_a_program_serves_a_film() -> None:
    film = REAL / "video" / "one-by-one-person-detection.mp4"
    program = Path(__file__).with_name("flaky.py")
    with subprocess.Popen(
        [sys.executable, str(program), "--video", str(film)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        said = json.loads(process.stdout.readline())
        source = started(said["url"])
        frames = []
        assert wait_for(lambda: (frame := source.read()) is not None and (frames.append(frame) or True))
        source.close()
        process.stdin.close()
    assert said["mode"] == "ok" and abs(said["time"] - time.monotonic()) < 60.0
    video = cv2.VideoCapture(os.fspath(film))
    assert frames[0].image.shape == video.read()[1].shape
