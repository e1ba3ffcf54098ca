"""Facts of this machine, from files and from libraries' metadata: no library is imported and no device opened.

`root` is the folder that stands for `/`.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from edge_reid.engines.base import thread_count
from edge_reid.types import Json

ROOT = Path("/")

VNNI = ("avx512_vnni", "avx_vnni")
ARM_DOT = ("asimddp", "i8mm")

_SMI_SECONDS = 10
"""nvidia-smi hangs where the driver does."""


def processor(root: Path = ROOT) -> tuple[str, list[str]]:
    """The processor's name, and those of its 8-bit instruction sets that speed INT8 up."""
    text = _text(root / "proc/cpuinfo")
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    known = set(flags[1].split()) if flags else set()
    return name[1] if name else board(root) or platform.machine(), [flag for flag in (*VNNI, *ARM_DOT) if flag in known]


def installed_version(package: str) -> str | None:
    """A distribution's version, None where it is not installed; nothing is imported."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


LEAST_TENSORRT = (10, 3)


def version_of(text: str) -> tuple[int, int]:
    """Major and minor of a version, (0, 0) where it has none."""
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def machine() -> dict[str, Json]:
    """What the numbers depend on besides the bundle."""
    name, flags = processor()
    libraries: dict[str, Json] = {
        package: installed_version(package)
        for package in ("numpy", "onnxruntime", "openvino", "ncnn", "torch", "tensorrt", "pycuda")
        if installed_version(package)
    }
    return {
        "processor": name,
        "processors": os.cpu_count(),
        "threads": thread_count(),
        "8_bit_instructions": " ".join(flags),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "gpu": "; ".join(gpus()) or None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **libraries,
    }


def board(root: Path = ROOT) -> str:
    """The board's name in the device tree, "" where there is none."""
    return _text(root / "proc/device-tree/model").rstrip("\0").strip()


def gpus() -> list[str]:
    """What nvidia-smi says of each NVIDIA GPU: name, driver, memory; none where it is not there or fails."""
    found = shutil.which("nvidia-smi")
    if found is None:
        return []
    words = [found, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        said = subprocess.run(words, capture_output=True, text=True, timeout=_SMI_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[field.strip() for field in line.split(",")] for line in said.stdout.splitlines()]
    return [f"{row[0]}, driver {row[1]}, {row[2]}" for row in rows if len(row) == 3]


class JetPack(NamedTuple):
    """What a Jetson's system brings."""

    l4t: str
    """Its version, "" where the file does not say it."""
    name: str
    """Of the JetPack, "unknown" for one that is not in the table."""
    tensorrt: tuple[int, int] | None


_JETPACKS: tuple[tuple[tuple[int, int], str, tuple[int, int]], ...] = (
    ((32, 0), "4", (8, 2)),
    ((35, 0), "5.0", (8, 4)),
    ((35, 2), "5.1", (8, 5)),
    ((36, 0), "6.0", (8, 6)),
    ((36, 4), "6.1 or 6.2", (10, 3)),
    ((38, 0), "7.0 or 7.1", (10, 13)),
    ((39, 2), "7.2", (10, 16)),
)
"""The first L4T of each, with its TensorRT."""


def jetpack(root: Path = ROOT) -> JetPack | None:
    """That of a Jetson, from the first line of nv_tegra_release, "# R36 (release), REVISION: 4.3, ..."; else None."""
    release = root / "etc/nv_tegra_release"
    if not release.exists():
        return None
    found = re.search(r"R(\d+) \(release\), REVISION: (\d+)([\d.]*)", _text(release))
    if found is None:
        return JetPack("", "unknown", None)
    l4t = (int(found[1]), int(found[2]))
    name, tensorrt = "unknown", None
    for first, its_name, its_tensorrt in _JETPACKS:
        if first[0] == l4t[0] and first <= l4t:
            name, tensorrt = its_name, its_tensorrt
    return JetPack(f"{found[1]}.{found[2]}{found[3]}", name, tensorrt)


def cuda(root: Path = ROOT) -> str | None:
    """The version of the CUDA toolkit in /usr/local/cuda, None without one."""
    try:
        told = json.loads(_text(root / "usr/local/cuda/version.json"))["cuda"]["version"]
        return str(told)
    except (ValueError, KeyError, TypeError):
        folders = sorted(folder.name for folder in (root / "usr/local").glob("cuda-*"))
        return folders[-1].removeprefix("cuda-") if folders else None


class Camera(NamedTuple):
    """A video device."""

    name: str
    """What its driver calls it."""
    devices: list[str]
    """/dev/video0, say; several of them are one camera's."""
    is_allowed: bool
    """Whether this user may open them all."""


def cameras(root: Path = ROOT) -> list[Camera]:
    """The video devices, none of them opened: one that is in use, or broken, would block."""
    nodes: dict[str, list[Path]] = {}
    for folder in sorted((root / "sys/class/video4linux").glob("video[0-9]*"), key=lambda path: int(path.name[5:])):
        device = root / "dev" / folder.name
        if device.exists():
            nodes.setdefault(_text(folder / "name").strip() or "no name", []).append(device)
    return [
        Camera(name, [f"/dev/{path.name}" for path in paths], all(os.access(path, os.R_OK | os.W_OK) for path in paths))
        for name, paths in nodes.items()
    ]


def _text(path: Path) -> str:
    """A file's text, "" where there is none that can be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
