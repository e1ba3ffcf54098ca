"""What names a source: its grammar, its options, and how it is shown without its password.

    people.mp4  file:people.mp4                     a video file
    pairs  dir:pairs  pairs/*_lwir.png              the pictures of a folder, in natural order
    0  /dev/video0  v4l2:/dev/v4l/by-id/NAME        a camera of this machine
    csi:0                                           a CSI camera of a Jetson
    http://HOST/PATH  rtsp://USER:PASSWORD@HOST/    a stream, also https and rtsps
    gst:PIPELINE                                    a GStreamer pipeline that gives BGR, GRAY8 or GRAY16_LE

Options are `key=value`, joined by `&`. Behind files, folders and devices they follow `?`; behind URLs and pipelines
they follow `#`, which no server ever sees, so that a URL's own query reaches the camera untouched. In the user and
password of a URL, and as a value in a pipeline, `$NAME` is what the environment variable NAME holds, and `$$` a dollar
sign.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from edge_reid.cameras.gstreamer import quoted
from edge_reid.cameras.options import Kind, SourceOptions, read_options
from edge_reid.cameras.redaction import redact
from edge_reid.errors import UserError

URLS: dict[str, Kind] = {"http": "http", "https": "http", "rtsp": "rtsp", "rtsps": "rtsp"}
PREFIXES: dict[str, Kind] = {"file": "file", "dir": "folder", "v4l2": "v4l2", "csi": "csi", "gst": "gst"}
KNOWN = (
    f"a video, a folder of pictures, a camera index, v4l2:DEVICE, csi:SENSOR, a URL ({', '.join(URLS)}) or gst:PIPELINE"
)

_INDEX = re.compile(r"[0-9]{1,4}")
_OPTIONS = r"[a-z]\w*(=[^&]*)?(&[a-z]\w*(=[^&]*)?)*"


@dataclass(frozen=True)
class SourceUri:
    """One source, understood."""

    kind: Kind
    name: str
    """Fit to be shown and logged."""
    target: str = field(repr=False)
    """Path, device, URL or pipeline, with user and password."""
    options: SourceOptions

    @property
    def is_live(self) -> bool:
        """Whether it is a camera or a stream, which has no past; a file lies there from the start."""
        return self.kind not in ("file", "folder")


def parse_uri(text: str) -> SourceUri:
    """Understand what names a source.

    Raises:
        UserError: nothing known is named so, or an option is wrong; the message never shows a password.
    """
    scheme, separator, rest = text.partition(":")
    scheme = scheme.lower()
    if scheme in URLS and rest.startswith("//"):
        return _url(text, URLS[scheme])
    if scheme == "gst" and separator:
        return _pipeline(rest)
    if "://" in text and scheme not in PREFIXES:
        raise UserError(f"{redact(text)}: unknown kind of URL; give {KNOWN}")
    try:
        return _path(text, PREFIXES.get(scheme) if separator else None)
    except OSError as error:
        raise UserError(f"{redact(text)}: {error.strerror}; check the path and its permissions") from error


def _path(text: str, kind: Kind | None) -> SourceUri:
    address, options = _split(text, r"\?")
    if kind is None:
        kind, target = _kind_of_path(address), address
    else:
        target = re.sub(r"^//(?=.)", "", address.partition(":")[2])
        _check_target(kind, target, text)
    name = f"camera {target}" if kind == "v4l2" and _INDEX.fullmatch(target) else redact(target)
    name = f"csi:{target}" if kind == "csi" else name
    return SourceUri(kind, name, target, read_options(options, kind, name))


def _url(text: str, kind: Kind) -> SourceUri:
    # a password may hold a '#'; options hold no '@'
    address, options = _split(text, "#")
    name = redact(address)
    scheme, _, rest = address.partition("://")
    login, at, host = rest.rpartition("@")
    login = _with_environment(login, lambda value: quote(value, safe=""), name)
    return SourceUri(kind, name, f"{scheme}://{login}{at}{host}", read_options(options, kind, name))


def _pipeline(text: str) -> SourceUri:
    pipeline, options = _split(text, "#")
    name = redact(f"gst:{pipeline}")
    if not pipeline.strip():
        raise UserError("gst: names no pipeline; give one such as gst:videotestsrc ! videoconvert")
    return SourceUri("gst", name, _with_environment(pipeline, quoted, name), read_options(options, "gst", name))


def _split(text: str, mark: str) -> tuple[str, str]:
    """Address and options: what follows the last mark, if it looks like options and no file is called so."""
    match = re.fullmatch(rf"(.*){mark}({_OPTIONS})", text, flags=re.DOTALL)
    if match is None or "@" in match[2] or (mark != "#" and Path(text).exists()):
        return text, ""
    return match[1], match[2]


def _with_environment(text: str, written: Callable[[str], str], name: str) -> str:
    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        variable = match[1] or match[2]
        if variable not in os.environ:
            raise UserError(f"{name}: there is no environment variable {variable}; export it, or write $$ for a $")
        return written(os.environ[variable])

    return re.sub(r"\$(?:\$|(\w+)|\{(\w+)\})", value, text)


def _kind_of_path(path: str) -> Kind:
    if _INDEX.fullmatch(path) or path.startswith("/dev/"):
        return "v4l2"
    if Path(path).is_file():
        return "file"
    if (path and Path(path).is_dir()) or _is_pattern(path):
        return "folder"
    raise UserError(f"{redact(path)}: no such file or folder; give {KNOWN}")


def _check_target(kind: Kind, target: str, text: str) -> None:
    if kind == "file" and not Path(target).is_file():
        raise UserError(f"{redact(target)}: no such file; check the path")
    if kind == "folder" and not (Path(target).is_dir() or _is_pattern(target)):
        raise UserError(f"{redact(target)}: no such folder; check the path")
    if kind == "csi" and not _INDEX.fullmatch(target):
        raise UserError(f"{redact(text)}: needs the number of a sensor such as csi:0")
    if kind == "v4l2" and not (_INDEX.fullmatch(target) or target.startswith("/")):
        raise UserError(f"{redact(text)}: needs an index or a device such as v4l2:/dev/video0")


def _is_pattern(path: str) -> bool:
    return any(sign in Path(path).name for sign in "*?[")
