from __future__ import annotations

import random
from pathlib import Path

import pytest

from edge_reid.cameras.options import SourceOptions
from edge_reid.cameras.redaction import redact
from edge_reid.cameras.uri import parse_uri
from edge_reid.errors import UserError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "people.mp4").touch()
    (tmp_path / "odd?loop=1").touch()
    (tmp_path / "pairs").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "kind", "target", "live"),
    [
        ("people.mp4", "file", "people.mp4", False),
        ("file:people.mp4", "file", "people.mp4", False),
        ("people.mp4?loop", "file", "people.mp4", False),
        ("odd?loop=1", "file", "odd?loop=1", False),
        ("pairs", "folder", "pairs", False),
        ("dir:pairs?fps=8", "folder", "pairs", False),
        ("pairs/*_lwir.png", "folder", "pairs/*_lwir.png", False),
        ("pairs/im?.png", "folder", "pairs/im?.png", False),
        ("pairs/im?.png?fps=8&loop=1", "folder", "pairs/im?.png", False),
        ("0", "v4l2", "0", True),
        ("1?fourcc=Y16", "v4l2", "1", True),
        ("/dev/video2", "v4l2", "/dev/video2", True),
        ("v4l2:/dev/video0?size=640x480", "v4l2", "/dev/video0", True),
        ("v4l2:///dev/v4l/by-id/usb-GroupGets_PureThermal-video-index0", "v4l2",
         "/dev/v4l/by-id/usb-GroupGets_PureThermal-video-index0", True),
        ("csi:0", "csi", "0", True),
        ("csi://1?flip=180", "csi", "1", True),
        ("rtsp://camera/stream", "rtsp", "rtsp://camera/stream", True),
        ("RTSPS://camera/stream", "rtsp", "RTSPS://camera/stream", True),
        ("https://camera/live.mjpg", "http", "https://camera/live.mjpg", True),
        ("gst:videotestsrc ! appsink", "gst", "videotestsrc ! appsink", True),
    ],
)  # fmt: skip
def test_every_kind_of_source_is_told_from_its_name(here: Path, text: str, kind: str, target: str, live: bool) -> None:
    source = parse_uri(text)
    assert (source.kind, source.target, source.is_live) == (kind, target, live)


def test_an_absolute_file_url_is_a_path(here: Path) -> None:
    assert parse_uri(f"file://{here}/people.mp4").target == f"{here}/people.mp4"


def test_options_are_read(here: Path) -> None:
    options = parse_uri("v4l2:/dev/video0?fps=9&size=160x120&fourcc=y16&flip=h&telemetry=2&delay=0.04&frozen=0").options
    expected = SourceOptions(
        fps=9.0, size=(160, 120), fourcc="Y16 ", bits=16, flip="h", telemetry=2, delay=0.04, frozen=0.0
    )
    assert options == expected
    radiometry = parse_uri("gst:a ! b#celsius=5..40&scale=0.04&offset=-40").options.radiometry
    assert radiometry is not None
    assert radiometry.limits == (pytest.approx(45 / 0.04), pytest.approx(80 / 0.04))
    options = parse_uri("rtsp://camera/#backend=gstreamer&transport=udp&latency=200&timeout=5").options
    assert (options.transport, options.latency, options.timeout) == ("udp", 200, 5.0)


@pytest.mark.parametrize(
    ("text", "target", "flip"),
    [
        ("http://camera/live?user=a&flip=180", "http://camera/live?user=a&flip=180", "0"),
        ("http://camera/live?user=a&flip=180#flip=90", "http://camera/live?user=a&flip=180", "90"),
        ("rtsp://camera/a?b=1&c#flip=v", "rtsp://camera/a?b=1&c", "v"),
        ("rtsp://us:p#flip=h@camera/a", "rtsp://us:p#flip=h@camera/a", "0"),
        ("rtsp://us:p#x@camera/a#flip=h", "rtsp://us:p#x@camera/a", "h"),
        ("gst:souphttpsrc location=http://c/?flip=h ! jpegdec", "souphttpsrc location=http://c/?flip=h ! jpegdec", "0"),
    ],
)  # fmt: skip
def test_the_query_of_a_url_is_the_cameras_own(text: str, target: str, flip: str) -> None:
    source = parse_uri(text)
    assert source.target == target
    assert source.options.flip == flip


def test_user_and_password_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMERA_USER", "admin")
    monkeypatch.setenv("CAMERA_PASSWORD", 'p@ss/w#r"d$')
    source = parse_uri("rtsp://$CAMERA_USER:${CAMERA_PASSWORD}@camera/stream?price=$5#flip=h")
    assert source.target == "rtsp://admin:p%40ss%2Fw%23r%22d%24@camera/stream?price=$5"
    assert source.name == "rtsp://***@camera/stream?***"
    assert "p@ss" not in repr(source) and "p%40" not in repr(source)
    assert parse_uri("rtsp://a:b$$c@camera/").target == "rtsp://a:b$c@camera/"
    pipeline = parse_uri("gst:rtspsrc user-id=$CAMERA_USER user-pw=$CAMERA_PASSWORD ! decodebin")
    assert pipeline.target == r'rtspsrc user-id="admin" user-pw="p@ss/w#r\"d$" ! decodebin'
    monkeypatch.delenv("CAMERA_PASSWORD")
    with pytest.raises(UserError, match=r"rtsp://\*\*\*@camera/: there is no environment variable CAMERA_PASSWORD"):
        parse_uri("rtsp://admin:$CAMERA_PASSWORD@camera/")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("missing.mp4", r"missing.mp4: no such file or folder; give a video, .*v4l2:DEVICE, .*gst:PIPELINE"),
        ("missing.mp4?loop=1", r"missing.mp4: no such file or folder"),
        ("", "no such file or folder"),
        ("file:missing.mp4", "no such file; check"),
        ("dir:missing", "no such folder; check"),
        ("rtmp://user:secret@camera/live", r"rtmp://\*\*\*@camera/live: unknown kind of URL; give .*rtsps"),
        ("usb:0", "usb:0: no such file or folder"),
        ("user:secret@camera/live", r"\*\*\*@camera/live: no such file"),
        ("v4l2:video0", "needs an index or a device"),
        ("csi:left", "needs the number of a sensor"),
        ("csi:", "needs the number of a sensor"),
        ("gst: ", "names no pipeline"),
        ("people.mp4?lop=1", r"people.mp4: file has no option lop; choose from fps, bits, loop, flip"),
        ("people.mp4?size=640x480", "file has no option size"),
        ("rtsp://us:secret@camera/#loop=1", r"rtsp://\*\*\*@camera/: rtsp has no option loop; choose from .*transport"),
        ("people.mp4?fps=fast", "fps=fast needs frames per second, 0.01 to 1000"),
        ("people.mp4?fps=nan", "fps=nan needs frames per second"),
        ("people.mp4?fps", "fps= needs frames per second"),
        ("people.mp4?loop=maybe", "loop=maybe needs 1 or 0"),
        ("people.mp4?flip=45", "flip=45 needs one of 0, 90, 180, 270, h, v"),
        ("people.mp4?celsius=40..5", "celsius=40..5 needs LOW..HIGH"),
        ("people.mp4?scale=0.1", "scale needs celsius=LOW..HIGH"),
        ("people.mp4?bits=12", "bits=12 needs 8 or 16"),
        ("0?size=640", "camera 0: size=640 needs WIDTHxHEIGHT"),
        ("0?size=0x480", "size=0x480 needs WIDTHxHEIGHT"),
        ("0?fourcc=MJPEG", "fourcc=MJPEG needs a pixel format of three or four letters"),
        ("rtsp://camera/#transport=udp", "transport needs backend=gstreamer"),
        ("rtsp://camera/#transport=carrier", "needs one of tcp, udp"),
        ("x" * 5000, "File name too long; check the path"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(here: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        parse_uri(text)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("rtsp://user:pass@10.0.0.2:554/stream", "rtsp://***@10.0.0.2:554/stream"),
        ("rtsp://us.er:p@ss/w#rd@camera/live", "rtsp://***@camera/live"),
        ("rtsp://:secret@camera", "rtsp://***@camera"),
        ("http://camera/live.mjpg?user=a&password=secret", "http://camera/live.mjpg?***"),
        ("http://camera/live.mjpg#flip=h", "http://camera/live.mjpg"),
        ("user:secret@camera/live", "***@camera/live"),
        ("videos/a@b.mp4", "videos/a@b.mp4"),
        ("0", "0"),
        ("gst:rtspsrc location=rtsp://u:secret@camera user-pw=secret ! appsink", "gst:rtspsrc ! appsink"),
        ('gst:rtspsrc user-pw="a ! secret b" ! decodebin', "gst:rtspsrc ! decodebin"),
        (r'gst:rtspsrc user-pw="a\" ! secret b" ! decodebin', "gst:rtspsrc ! decodebin"),
        (r"gst:rtspsrc user-pw=a\ !\ secret\ b ! decodebin", "gst:rtspsrc ! decodebin"),
        ("gst:rtspsrc user-pw='a ! secret ! decodebin", "gst:rtspsrc"),
        ("gst:user-pw=secret", "gst:***"),
        ("gst:videotestsrc!secret=1", "gst:***"),
    ],
)  # fmt: skip
def test_passwords_are_never_shown(uri: str, shown: str) -> None:
    assert redact(uri) == shown


def test_whatever_is_given_is_understood_or_refused_without_showing_the_password(here: Path) -> None:
    draw = random.Random(4)
    heads = [
        "rtsp://u:SECRET@h/", "http://$U:SECRET@h", "gst:a user-pw=SECRET ! b", "ftp://u:SECRET@h", "u:SECRET@h",
        "people.mp4", "file:", "pairs/*", "dir:pairs", "0", "csi:0", "v4l2:/dev/video0",
    ]  # fmt: skip
    tails = [
        "?", "#", "&", "=", "fps=1", "loop", "size=1x1", "size=x", "flip=h", "@", "%", "$", "$$", "${", "\0", "\n",
        "\u00b2", "\u0663", "celsius=1..2", "celsius=..", "9" * 30, "[", "**", "/", "..", "bits=16", "delay=-1e9",
    ]  # fmt: skip
    refused = 0
    for _ in range(3000):
        text = draw.choice(heads) + "".join(draw.choices(tails, k=draw.randrange(6)))
        try:
            shown = repr(parse_uri(text))
        except UserError as error:
            shown, refused = str(error), refused + 1
        assert "SECRET" not in shown, text
    assert 500 < refused < 2900


def test_a_login_in_the_path_is_not_shown() -> None:
    shown = redact("rtsp://10.0.0.9:554/user=admin&password=hunter2&channel=1&stream=0.sdp")
    assert shown == "rtsp://10.0.0.9:554/user=***&password=***&channel=1&stream=0.sdp"
