"""GStreamer as the system's own OpenCV has it, and RTSP from a real server; pip's OpenCV has no GStreamer."""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from edge_reid.cameras.gstreamer import csi_pipeline, quoted, rtsp_pipeline, with_sink
from edge_reid.cameras.options import SourceOptions
from edge_reid.cameras.sources import open_source
from edge_reid.errors import UserError
from tests.cameras.waiting import wait_for

ROOT = Path(__file__).parents[2]
SYSTEM = "/usr/bin/python3"
PASSWORD = 'p@ss ! w#rd"$\\x'

OPEN = """
import json, sys
from edge_reid.cameras.capture import open_capture
from edge_reid.cameras.uri import parse_uri
from edge_reid.errors import UserError
for uri in sys.argv[1:]:
    try:
        capture = open_capture(parse_uri(uri))
        picture = [capture.read() for _ in range(2)][-1].picture
        print(json.dumps([picture.shape, str(picture.dtype), int(picture.max())]), flush=True)
        capture.close()
    except UserError as error:
        print(json.dumps(str(error)), flush=True)
"""


@functools.cache
def system_has(module: str, test: str = "") -> bool:
    code = f"import numpy, {module}\n{test}"
    return (
        Path(SYSTEM).exists() and not subprocess.run([SYSTEM, "-c", code], capture_output=True, check=False).returncode
    )


needs_gstreamer = pytest.mark.skipif(
    not system_has("cv2", "assert cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER)"),
    reason="the system's Python has no OpenCV with GStreamer",
)
needs_timeouts = pytest.mark.skipif(
    not system_has("cv2", "assert tuple(map(int, cv2.__version__.split('.')[:2])) >= (4, 7)"),
    reason="the system's OpenCV may hang for good in a GStreamer camera that is not there",
)
needs_rtsp = pytest.mark.skipif(
    not system_has("gi", "gi.require_version('GstRtspServer', '1.0')"), reason="there is no GStreamer RTSP server here"
)


def opened(*uris: str, **environment: str) -> tuple[list[object], str]:
    """What the system's OpenCV finds behind each of the URIs, and all that it printed."""
    done = subprocess.run(
        [SYSTEM, "-c", OPEN, *uris],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()], done.stdout + done.stderr


@pytest.mark.skipif(cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER), reason="this OpenCV has GStreamer")
@pytest.mark.parametrize("uri", ["gst:videotestsrc", "csi:0", "rtsp://camera/#backend=gstreamer"])
def test_an_opencv_without_gstreamer_is_told_at_once(uri: str) -> None:
    with pytest.raises(UserError, match=r"^(gst|csi|rtsp):.*needs an OpenCV with GStreamer, .*JetPack's or Debian's"):
        open_source(uri, "visible", offline=False)


def test_a_pipeline_ends_in_a_sink_that_keeps_the_newest_picture() -> None:
    assert with_sink("a ! b") == "a ! b ! appsink drop=true max-buffers=1 sync=false"
    assert with_sink("a ! appsink drop=false") == "a ! appsink drop=false"
    assert with_sink("a location=appsink ! b").endswith("b ! appsink drop=true max-buffers=1 sync=false")


def test_the_pipeline_of_an_rtsp_camera_keeps_the_password_out_of_the_address() -> None:
    options = SourceOptions(backend="gstreamer", transport="udp", latency=200)
    pipeline = rtsp_pipeline("rtsp://ad%40min:p%22w%5C@camera:554/live?a=1", options)
    assert 'location="rtsp://camera:554/live?a=1" latency=200 protocols=udp' in pipeline
    assert r'user-id="ad@min" user-pw="p\"w\\"' in pipeline
    assert "user-id" not in rtsp_pipeline("rtsp://camera/live", SourceOptions(backend="gstreamer"))


@needs_gstreamer
def test_pipelines_give_colour_grey_and_sixteen_bits(tmp_path: Path) -> None:
    source = "gst:videotestsrc is-live=true ! video/x-raw,width=64,height=48"
    csi = csi_pipeline("0", SourceOptions(size=(64, 48), fps=15.0))
    assert csi.startswith(
        "nvarguscamerasrc sensor-id=0 ! video/x-raw(memory:NVMM),width=64,height=48,framerate=15000/1000"
    )
    # on another machine than a Jetson: the same with a source and a converter that are there
    csi = csi.replace("nvarguscamerasrc sensor-id=0", "videotestsrc is-live=true").replace("(memory:NVMM)", "")
    csi = csi.replace("nvvidconv", "videoconvert")
    answers, _ = opened(
        f"{source},format=BGR", f"{source},format=GRAY8", f"{source},format=GRAY16_LE#bits=16&celsius=5..40",
        f"{source},format=GRAY8#bits=16", f"{source},format=BGR ! appsink", f"gst:{csi}",
    )  # fmt: skip
    assert answers[0] == [[48, 64, 3], "uint8", 255]
    assert answers[1] == [[48, 64], "uint8", answers[1][2]]  # type: ignore[index]
    assert answers[2][:2] == [[48, 64], "uint16"] and answers[2][2] > 50_000  # type: ignore[index]
    assert "gives 8-bit pictures" in str(answers[3])
    assert answers[4] == answers[5] == answers[0]


@needs_gstreamer
def test_pipelines_that_do_not_work_are_told_in_one_line_without_their_properties() -> None:
    answers, printed = opened("gst:nosuchelement user-pw=SECRET ! appsink", "gst:videotestsrc nosuch=SECRET")
    remedy = "does not open; try the pipeline with gst-launch-1.0, with fakesink as its end"
    assert answers == [f"gst:nosuchelement ! appsink: {remedy}", f"gst:videotestsrc: {remedy}"]
    assert "SECRET" not in printed


@needs_gstreamer
@needs_timeouts
def test_an_rtsp_camera_that_is_not_there_is_told_in_one_line_without_its_password() -> None:
    answers, printed = opened(
        "gst:rtspsrc location=rtsp://127.0.0.1:9/ user-id=a user-pw=$CAMERA_PASSWORD ! decodebin",
        "rtsp://a:$CAMERA_PASSWORD@127.0.0.1:9/#backend=gstreamer&timeout=1",
        CAMERA_PASSWORD="SECRET",
    )
    assert all("does not open" in str(answer) for answer in answers)
    assert "SECRET" not in printed


@pytest.fixture
def rtsp() -> Iterator[RtspServer]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = RtspServer(free.getsockname()[1])
    server.start()
    yield server
    server.stop()


class RtspServer:
    """A camera that asks for a password, in a process of its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    def start(self) -> None:
        program = Path(__file__).with_name("rtsp_server.py")
        arguments = [SYSTEM, str(program), str(self.port), "admin", PASSWORD]
        self._process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


@needs_rtsp
def test_an_rtsp_camera_that_goes_is_back_within_five_seconds_of_its_return(
    rtsp: RtspServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAMERA_PASSWORD", PASSWORD)
    monkeypatch.delenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", raising=False)
    source = open_source(f"rtsp://admin:$CAMERA_PASSWORD@127.0.0.1:{rtsp.port}/live", "visible", offline=False)
    source.start(time.monotonic(), threading.Event())
    began = time.monotonic()
    assert wait_for(lambda: source.read() is not None, 10.0), source.health()
    assert time.monotonic() - began < 1.9, "FFmpeg does not count twenty pictures first"
    rtsp.stop()
    assert wait_for(lambda: source.state in ("down", "stalled"), 5.0)
    time.sleep(1.0)
    rtsp.start()
    returned = time.monotonic()
    assert wait_for(lambda: source.state == "up" and source.read() is not None, 10.0), source.health()
    assert time.monotonic() - returned < 5.0
    source.close()
    assert source.health().reconnects == 1
    assert PASSWORD not in str(capfd.readouterr()) + str(source.health())


@needs_rtsp
@needs_gstreamer
def test_gstreamer_opens_an_rtsp_camera_with_its_password(rtsp: RtspServer) -> None:
    address = f"127.0.0.1:{rtsp.port}/live#backend=gstreamer&transport=tcp&latency=20"
    answers, printed = opened(f"rtsp://admin:$CAMERA_PASSWORD@{address}", CAMERA_PASSWORD=PASSWORD)
    assert answers[0][:2] == [[240, 320, 3], "uint8"]  # type: ignore[index]
    assert PASSWORD not in printed


@needs_rtsp
def test_values_reach_gstreamer_as_they_are() -> None:
    values = [PASSWORD, "a'b", "a\\b", 'a"b', "a ! b", "ab\\", "true", "%20", "[a]", ""]
    code = (
        "import gi, json, sys; gi.require_version('Gst', '1.0'); from gi.repository import Gst; Gst.init(None)\n"
        "print(json.dumps([Gst.parse_launch(f'rtspsrc name=s user-pw={v} ! fakesink').get_by_name('s')"
        ".get_property('user-pw') or '' for v in sys.argv[1:]]))"
    )
    done = subprocess.run(
        [SYSTEM, "-c", code, *map(quoted, values)], capture_output=True, text=True, check=True, timeout=30
    )
    assert json.loads(done.stdout) == values
