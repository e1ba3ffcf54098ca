"""Backends that hang, freeze and fail: nobody but the camera's own thread ever waits for them."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_reid.cameras import live
from edge_reid.cameras.capture import Capture, Shot, open_capture
from edge_reid.cameras.live import FreezeWatch, LiveSource
from edge_reid.cameras.uri import SourceUri, parse_uri
from edge_reid.errors import UserError
from tests.cameras.flaky import FlakyCamera
from tests.cameras.waiting import wait_for


def started(uri: str, connect: Callable[[SourceUri], Capture]) -> LiveSource:
    source = LiveSource(parse_uri(uri), "visible", connect)
    source.start(time.monotonic(), threading.Event())
    return source


class HangingCapture:
    """A backend that gives three pictures and then blocks, until its own timeout ends it."""

    rate = 20.0
    recorded = False

    def __init__(self, shade: int, blocks: float, first: float = 0.0) -> None:
        self.shade = shade
        self.given = 0
        self.blocks = blocks
        self.first = first

    def read(self) -> Shot | None:
        if self.given == 0:
            time.sleep(self.first)
        if self.given == 3:
            time.sleep(self.blocks)
        self.given += 1
        return Shot(np.full((8, 8, 3), self.shade + self.given, np.uint8), time.monotonic())

    def close(self) -> None:
        pass


def test_a_reader_that_hangs_is_left_behind_and_what_it_gives_later_is_not_taken() -> None:
    opened: list[HangingCapture] = []

    def connect(_: SourceUri) -> Capture:
        opened.append(HangingCapture(40 * len(opened), blocks=1.0))
        return opened[-1]

    source = started("http://camera/#timeout=0.3", connect)
    most, shades, end = 0, [], time.monotonic() + 2.5
    while time.monotonic() < end:
        most = max(most, sum(thread.name == "http://camera/ reader" for thread in threading.enumerate()))
        if (frame := source.read()) is not None:
            shades.append(int(frame.image[0, 0, 0]))
        time.sleep(0.005)
    health = source.health()
    source.close()
    assert health.stalls >= 2 and health.reconnects >= 1
    assert most <= live.MOST_LEFT + 1
    assert all(shade % 40 <= 3 for shade in shades), "no picture of a reader that was left behind"
    assert shades == sorted(shades)
    assert wait_for(lambda: not any(thread.name.startswith("http://camera/") for thread in threading.enumerate()), 4.0)


def test_a_camera_that_is_slow_to_its_first_picture_has_twice_as_long() -> None:
    source = started("http://camera/#timeout=0.5", lambda _: HangingCapture(0, blocks=0.1, first=0.8))
    assert wait_for(lambda: source.state == "up", 3.0)
    assert source.health().stalls == 0
    source.close()


class ChangingCapture(HangingCapture):
    """A backend that hands out what the camera sends: pictures of another size, then a failure of OpenCV's own."""

    def read(self) -> Shot | None:
        self.given += 1
        time.sleep(0.02)
        if self.given > 5 and self.shade == 0:
            return Shot(np.zeros((4, 4, 3), np.uint8), time.monotonic())
        if self.given > 5:
            raise cv2.error("rtsp://user:secret@camera broke")
        return Shot(np.full((8, 8, 3), self.given, np.uint8), time.monotonic())


def test_another_size_and_a_failing_backend_are_reasons_to_open_again(caplog: pytest.LogCaptureFixture) -> None:
    opened: list[Capture] = []
    problems = set()

    def connect(_: SourceUri) -> Capture:
        opened.append(ChangingCapture(len(opened), 0.0))
        return opened[-1]

    with caplog.at_level(logging.INFO):
        source = started("rtsp://user:secret@camera/", connect)
        end = time.monotonic() + 10.0
        while source.health().reconnects < 2 and time.monotonic() < end:
            problems.add(source.health().problem)
            frame = source.read()
            assert frame is None or frame.image.shape == (8, 8, 3)
            time.sleep(0.005)
        source.close()
    assert source.health().reconnects == 2
    assert problems >= {
        "changed the size of its pictures from (8, 8, 3) to (4, 4, 3)",
        "OpenCV failed to read",
    }
    assert "secret" not in caplog.text
    assert "rtsp://***@camera/: down (OpenCV failed to read)" in caplog.text


def test_a_frozen_camera_is_told_by_its_picture_and_may_return_with_it_unnoticed() -> None:
    watch, picture = FreezeWatch(0.4), np.zeros((8, 8), np.uint8)
    began = time.monotonic()
    assert wait_for(lambda: watch.is_frozen(picture), 3.0)
    assert time.monotonic() - began >= 0.4
    watch.restart()
    assert watch.is_frozen(picture), "the same picture after opening anew: frozen still"
    watch.restart()
    assert not watch.is_frozen(picture + 1)
    time.sleep(0.5)
    watch.restart()
    assert not watch.is_frozen(picture + 1), "a camera that was merely lost begins anew"
    never = FreezeWatch(0.0)
    assert not any(never.is_frozen(picture) for _ in range(3) if not time.sleep(0.3))  # type: ignore[func-returns-value]


def test_a_camera_that_hangs_while_it_is_opened_keeps_no_other_from_being_opened() -> None:
    silent, working = FlakyCamera(), FlakyCamera()
    silent.mode = "stall"

    def open_silent() -> None:
        with contextlib.suppress(UserError):
            open_capture(parse_uri(f"{silent.url}#timeout=5"))

    hanging = threading.Thread(target=open_silent)
    hanging.start()
    assert wait_for(lambda: silent.paths)
    open_capture(parse_uri(working.url)).close()
    assert hanging.is_alive()
    for camera in (silent, working):
        camera.close()
    hanging.join()
