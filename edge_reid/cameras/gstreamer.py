"""GStreamer pipelines as text: what is asked for, in the language of gst-launch."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import cv2

from edge_reid.cameras.options import SourceOptions
from edge_reid.errors import UserError

SINK = "appsink drop=true max-buffers=1 sync=false"
"""Keeps the newest picture only; each of the three is needed, or pictures are seconds old after a pause."""

FROM_GPU = "nvvidconv ! video/x-raw,format=BGRx"
"""What a Jetson's cameras and decoders give lies in the GPU's memory."""

TO_BGR = f"videoconvert ! video/x-raw,format=BGR ! {SINK}"

CSI_SIZE = (1280, 720)
CSI_RATE = 30.0

SILENCE_US = 5_000_000
"""Microseconds after which a silent RTSP server counts as lost."""


def require_gstreamer(name: str) -> None:
    """Refuse a source that this OpenCV cannot open.

    Raises:
        UserError: OpenCV was built without GStreamer.
    """
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise UserError(
            f"{name}: needs an OpenCV with GStreamer, and the one of pip has none; uninstall opencv-python and use "
            "JetPack's or Debian's (apt install python3-opencv, a virtual environment with --system-site-packages)"
        )


def csi_pipeline(sensor: str, options: SourceOptions) -> str:
    """A Jetson's CSI camera."""
    width, height = options.size or CSI_SIZE
    rate = options.fps or CSI_RATE
    wanted = f"width={width},height={height},framerate={round(1000 * rate)}/1000,format=NV12"
    return f"nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM),{wanted} ! {FROM_GPU} ! {TO_BGR}"


def rtsp_pipeline(url: str, options: SourceOptions) -> str:
    """An RTSP stream; user and password go where GStreamer does not print them with the address."""
    parts = urlsplit(url)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    properties = {
        "location": quoted(address),
        "latency": options.latency if options.latency is not None else 50,
        "protocols": options.transport or "tcp+udp",
        "drop-on-latency": "true",
        "timeout": SILENCE_US,
        "tcp-timeout": SILENCE_US,
    }
    if parts.username is not None:
        properties["user-id"] = quoted(unquote(parts.username))
        properties["user-pw"] = quoted(unquote(parts.password or ""))
    source = " ".join(f"{key}={value}" for key, value in properties.items())
    decoder = f"decodebin ! {FROM_GPU}" if Path("/etc/nv_tegra_release").exists() else "decodebin"
    return f"rtspsrc {source} ! application/x-rtp,media=video ! {decoder} ! {TO_BGR}"


def with_sink(pipeline: str) -> str:
    """`pipeline`, ending in an appsink."""
    return pipeline if re.search(r"!\s*appsink\b[^!]*$", pipeline) else f"{pipeline} ! {SINK}"


def quoted(value: str) -> str:
    """A property's value, whatever it holds."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
