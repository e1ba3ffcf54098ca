"""What can be said of a source behind its name, as `key=value`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from edge_reid.cameras.thermal import Radiometry
from edge_reid.errors import UserError

Kind = Literal["file", "folder", "v4l2", "csi", "http", "rtsp", "gst"]
Flip = Literal["0", "90", "180", "270", "h", "v"]
Backend = Literal["ffmpeg", "gstreamer"]
Transport = Literal["tcp", "udp"]


@dataclass(frozen=True)
class SourceOptions:
    """The options of one source."""

    fps: float | None = None
    """Frames per second: of a file or folder in place of its own, of a camera to be asked for."""
    size: tuple[int, int] | None = None
    """(width, height) that a camera is asked for."""
    fourcc: str | None = None
    """Pixel format that a camera is asked for, such as MJPG or Y16."""
    bits: int = 8
    """16 keeps the counts of a thermal camera."""
    loop: bool = False
    """A file or folder begins again at its end."""
    flip: Flip = "0"
    """Degrees clockwise, or h (left becomes right) or v (top becomes bottom)."""
    telemetry: int = 0
    """Rows at the bottom that hold the camera's telemetry, cut off."""
    celsius: tuple[float, float] | None = None
    """Degrees of a radiometric camera that become black and white, in place of percentiles."""
    scale: float = 0.01
    """Degrees Celsius per count."""
    offset: float = -273.15
    """Degrees Celsius of count 0."""
    delay: float = 0.0
    """Seconds by which the source is known to be late."""
    timeout: float = 2.0
    """Seconds of silence after which a camera has stalled; to its first picture it has twice as long."""
    frozen: float = 10.0
    """Seconds of one and the same picture after which a camera has stalled; 0: never."""
    backend: Backend = "ffmpeg"
    """What reads an RTSP stream; gstreamer decodes on a Jetson's own hardware."""
    transport: Transport | None = None
    """How an RTSP stream travels; FFmpeg tries TCP and then UDP by itself."""
    latency: int | None = None
    """Milliseconds of an RTSP stream that GStreamer buffers against jitter."""

    @property
    def radiometry(self) -> Radiometry | None:
        """What the counts mean, where that was said."""
        return Radiometry(self.scale, self.offset, self.celsius) if self.celsius else None


def read_options(text: str, kind: Kind, name: str) -> SourceOptions:
    """Read `key=value&key=value`; a switch may stand without a value.

    Args:
        text: the options.
        kind: of the source; not every option fits every kind.
        name: of the source, for errors.

    Raises:
        UserError: an option is unknown, does not fit the kind or another option, or has a bad value.
    """
    values: dict[str, Any] = {}
    for word in filter(None, text.split("&")):
        key, _, value = word.partition("=")
        option = _OPTIONS.get(key)
        if option is None or kind not in option.kinds:
            known = ", ".join(key for key, option in _OPTIONS.items() if kind in option.kinds)
            raise UserError(f"{name}: {kind} has no option {key}; choose from {known}")
        try:
            values[key] = option.read(value)
        except (ValueError, KeyError) as error:
            raise UserError(f"{name}: {key}={value} needs {option.expects}") from error
    _check_together(values, name)
    if values.get("fourcc") == "Y16 ":
        values["bits"] = 16
    return SourceOptions(**values)


def _check_together(values: Mapping[str, object], name: str) -> None:
    for key in ("transport", "latency"):
        if key in values and values.get("backend") != "gstreamer":
            raise UserError(f"{name}: {key} needs backend=gstreamer; FFmpeg tries TCP and then UDP by itself")
    for key in ("scale", "offset"):
        if key in values and "celsius" not in values:
            raise UserError(f"{name}: {key} needs celsius=LOW..HIGH, the degrees that become black and white")


@dataclass(frozen=True)
class _Option:
    read: Callable[[str], object]
    expects: str
    kinds: tuple[Kind, ...]


def _number(least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text)
        if not least <= value <= most:  # false also for what is not a number
            raise ValueError(text)
        return value

    return read


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise ValueError(text)
        return value

    return read


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(text)
        return text

    return read


def _switch(text: str) -> bool:
    return {"": True, "1": True, "0": False}[text]


def _size(text: str) -> tuple[int, int]:
    width, height = (_whole(1, 16384)(part) for part in text.lower().split("x"))
    return width, height


def _fourcc(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]{3,4}", text):
        raise ValueError(text)
    return text.upper().ljust(4)


def _degrees(text: str) -> tuple[float, float]:
    low, high = (_number(-273.15, 5000.0)(part) for part in text.split(".."))
    if low >= high:
        raise ValueError(text)
    return low, high


def _scale(text: str) -> float:
    value = _number(0.0, 100.0)(text)
    if value == 0.0:
        raise ValueError(text)
    return value


_RECORDED: tuple[Kind, ...] = ("file", "folder")
_DEVICES: tuple[Kind, ...] = ("v4l2", "csi")
_ALL: tuple[Kind, ...] = get_args(Kind)
_LIVE: tuple[Kind, ...] = ("v4l2", "csi", "http", "rtsp", "gst")

_OPTIONS: dict[str, _Option] = {
    "fps": _Option(_number(0.01, 1000.0), "frames per second, 0.01 to 1000", (*_RECORDED, *_DEVICES)),
    "size": _Option(_size, "WIDTHxHEIGHT such as 640x480", _DEVICES),
    "fourcc": _Option(_fourcc, "a pixel format of three or four letters such as MJPG or Y16", ("v4l2",)),
    "bits": _Option(lambda text: int(_one_of("8", "16")(text)), "8 or 16", _ALL),
    "loop": _Option(_switch, "1 or 0", _RECORDED),
    "flip": _Option(_one_of(*get_args(Flip)), f"one of {', '.join(get_args(Flip))}", _ALL),
    "telemetry": _Option(_whole(0, 64), "rows, 0 to 64", _ALL),
    "celsius": _Option(_degrees, "LOW..HIGH in degrees such as 5..40", _ALL),
    "scale": _Option(_scale, "degrees Celsius per count, above 0 and up to 100", _ALL),
    "offset": _Option(_number(-1000.0, 1000.0), "degrees Celsius of count 0, -1000 to 1000", _ALL),
    "delay": _Option(_number(-5.0, 5.0), "seconds, -5 to 5", _ALL),
    "timeout": _Option(_number(0.2, 60.0), "seconds, 0.2 to 60", _LIVE),
    "frozen": _Option(_number(0.0, 3600.0), "seconds, 0 (never) to 3600", _LIVE),
    "backend": _Option(_one_of(*get_args(Backend)), f"one of {', '.join(get_args(Backend))}", ("rtsp",)),
    "transport": _Option(_one_of(*get_args(Transport)), f"one of {', '.join(get_args(Transport))}", ("rtsp",)),
    "latency": _Option(_whole(0, 10_000), "milliseconds, 0 to 10000", ("rtsp",)),
}
