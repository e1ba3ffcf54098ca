from __future__ import annotations

import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_reid.cameras.probe import probe
from edge_reid.errors import UserError
from tests.cameras.flaky import FlakyCamera
from tests.cameras.waiting import wait_for


def test_a_camera_is_looked_at_and_let_go() -> None:
    camera = FlakyCamera(rate=20.0)
    found = probe(f"{camera.url}#flip=90", "visible")
    assert (found.size, found.bits) == ((320, 240), 8)
    assert 15 < found.rate < 24, "as measured, for the header says 25"
    assert str(found).startswith(f"{camera.url}: 240 x 320, 8 bits, ")
    assert wait_for(lambda: not any("probe" in thread.name for thread in threading.enumerate()))
    camera.close()


def test_a_file_is_looked_at_without_waiting(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((122, 160), np.uint16))
    began = time.monotonic()
    found = probe(f"{tmp_path}?telemetry=2&fps=9", "thermal")
    assert (found.size, found.bits, found.rate) == ((120, 160), 16, 9.0)
    assert time.monotonic() - began < 1.5


def test_a_camera_that_is_not_there_or_says_nothing_is_one_line() -> None:
    camera = FlakyCamera()
    camera.mode = "refuse"
    with pytest.raises(UserError, match="does not open; check the address"):
        probe(camera.url, "visible")
    camera.mode = "stall"
    began = time.monotonic()
    with pytest.raises(UserError, match="does not open; check the address"):
        probe(f"{camera.url}#timeout=0.4", "visible")
    assert time.monotonic() - began < 4.0
    camera.close()
    with pytest.raises(UserError, match=r"missing\.mp4: no such file or folder"):
        probe("missing.mp4", "visible")
