"""What this machine has and what it misses: one line per check, each with its remedy. Needs no torch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from edge_reid.bundle import Bundle
from edge_reid.engines import load_engine
from edge_reid.engines.base import thread_count
from edge_reid.errors import UserError
from edge_reid.types import MODALITIES, Json

State = Literal["ok", "absent", "problem"]
"""Absent: not there and only needed for some work. Problem: the apps do not run like this."""

LEAST_DISK = 2 * 2**30

_VNNI = ("avx512_vnni", "avx_vnni")
_ARM_DOT = ("asimddp", "i8mm")


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report."""

    name: str
    state: State
    detail: str
    remedy: str = ""
    """What to do about it; empty when nothing needs doing."""

    def as_json(self) -> dict[str, Json]:
        """The fields by name."""
        return asdict(self)


def doctor() -> list[Check]:
    """All checks, in the order in which a user meets their subjects."""
    checks: list[Callable[[], Check]] = [
        _python, _processor, _numpy, _opencv, _opencv_video, _onnxruntime,
        lambda: _optional("openvino", "a faster engine on Intel and AMD processors", "openvino"),
        tensorrt,
        lambda: _optional("torch", "PyTorch trains and exports; the apps do not need it", "train"),
        lambda: _optional("onnx", "writes and quantises graphs", "export"),
        _display, _disk, _reference,
    ]  # fmt: skip
    return [check() for check in checks]


def processor() -> tuple[str, list[str]]:
    """The processor's name, and those of its 8-bit instruction sets that speed INT8 up."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine(), []
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    known = set(flags[1].split()) if flags else set()
    return name[1] if name else platform.machine(), [flag for flag in (*_VNNI, *_ARM_DOT) if flag in known]


def installed_version(package: str) -> str | None:
    """A distribution's version, None where it is not installed; nothing is imported."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def machine() -> dict[str, Json]:
    """What the numbers depend on besides the bundle."""
    name, flags = processor()
    libraries: dict[str, Json] = {
        package: installed_version(package)
        for package in ("numpy", "onnxruntime", "openvino", "torch")
        if installed_version(package)
    }
    return {
        "processor": name,
        "processors": os.cpu_count(),
        "threads": thread_count(),
        "8_bit_instructions": " ".join(flags),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **libraries,
    }


def _python() -> Check:
    return Check("python", "ok", f"{platform.python_version()} at {sys.executable}")


def _processor() -> Check:
    name, flags = processor()
    detail = f"{name}, {os.cpu_count()} processors"
    if flags:
        return Check("processor", "ok", f"{detail}, 8-bit instructions: {' '.join(flags)}")
    remedy = "measure with `edge-reid benchmark`; a bundle exported without --int8 runs in FP32"
    return Check("processor", "absent", f"{detail}, no VNNI or dot-product instructions: INT8 may be slower", remedy)


def _numpy() -> Check:
    return Check("numpy", "ok", np.__version__)


def _opencv() -> Check:
    if importlib.util.find_spec("cv2") is None:
        return Check("opencv", "problem", "not installed", "pip install 'edge-reid[camera]'")
    try:
        import cv2
    except ImportError as error:
        return Check("opencv", "problem", str(error), "sudo apt-get install libgl1 libglib2.0-0")
    if not hasattr(cv2, "HOGDescriptor"):
        return Check("opencv", "problem", f"{cv2.__version__}, no HOG detector", "pip install 'opencv-python<5'")
    return Check("opencv", "ok", f"{cv2.__version__}, with the HOG detector")


def _opencv_video() -> Check:
    try:
        import cv2
    except ImportError:
        return Check("opencv video", "problem", "OpenCV is missing", "pip install 'edge-reid[camera]'")
    information = cv2.getBuildInformation()
    found = {key: _build_value(information, key) for key in ("GUI", "FFMPEG", "GStreamer", "v4l/v4l2")}
    detail = ", ".join(f"{key} {value or 'no'}" for key, value in found.items())
    if not found["FFMPEG"] and not found["GStreamer"]:
        return Check("opencv video", "problem", detail, "pip install opencv-python: videos and streams need a reader")
    if not found["GUI"]:
        return Check("opencv video", "absent", detail, "pip install opencv-python for a window, or run with --headless")
    return Check("opencv video", "ok", detail)


def _build_value(information: str, key: str) -> str:
    """What OpenCV was built with, "" for nothing."""
    found = re.search(rf"^\s*{re.escape(key)}:[ \t]*(\S*)", information, re.MULTILINE)
    value = found[1] if found else ""
    return "" if value in ("NO", "NONE") else value


def _onnxruntime() -> Check:
    try:
        import onnxruntime
    except ImportError as error:
        return Check("onnxruntime", "problem", str(error), "pip install onnxruntime")
    providers = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    return Check("onnxruntime", "ok", f"{onnxruntime.__version__}, providers: {', '.join(providers)}")


def _optional(package: str, purpose: str, extra: str) -> Check:
    version = installed_version(package)
    if version is None and importlib.util.find_spec(package) is None:
        return Check(package, "absent", f"not installed; {purpose}", f"pip install 'edge-reid[{extra}]'")
    return Check(package, "ok", f"{version or 'version unknown'}; {purpose}")


def tensorrt(root: Path = Path("/")) -> Check:
    """TensorRT and pycuda; on a Jetson they are the system's, and an environment sees them only if it was told to."""
    release = root / "etc" / "nv_tegra_release"
    jetson = f" on L4T {_l4t(release)}" if release.exists() else ""
    version = installed_version("tensorrt")
    if version and importlib.util.find_spec("pycuda"):
        return Check("tensorrt", "ok", f"{version}{jetson}; compiles and runs engines on NVIDIA GPUs")
    lacking = "pycuda" if version else "TensorRT"
    detail = f"no {lacking}{jetson}; compiles and runs engines on NVIDIA GPUs"
    theirs = sorted((root / "usr" / "lib").glob("python3*/dist-packages/tensorrt"))
    if not version and theirs:
        python = theirs[0].parents[1].name
        here = f"python{sys.version_info.major}.{sys.version_info.minor}"
        fits = python in ("python3", here)
        remedy = "make the environment with `python3 -m venv --system-site-packages`"
        if not fits:
            remedy = f"that is for {python}, and this is {here}: `{python} -m venv --system-site-packages`"
        return Check(
            "tensorrt", "absent", f"in {theirs[0].parent}, which this environment does not see{jetson}", remedy
        )
    remedy = "pip install pycuda" if version else "pip install 'edge-reid[tensorrt]'"
    if jetson and not version:
        remedy = "sudo apt-get install python3-libnvinfer"
    return Check("tensorrt", "absent", detail, remedy)


def _l4t(release: Path) -> str:
    """The version in the first line of nv_tegra_release, "# R36 (release), REVISION: 4.3, ..."."""
    found = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", release.read_text(encoding="utf-8", errors="replace"))
    return f"{found[1]}.{found[2]}" if found else "of unknown version"


def _display() -> Check:
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return Check("display", "ok", "there is one")
    return Check("display", "absent", "no DISPLAY or WAYLAND_DISPLAY", "run the apps with --headless or --record FILE")


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free
    detail = f"{free / 2**30:.1f} GiB free in {Path.cwd()}"
    if free < LEAST_DISK:
        return Check("disk", "problem", detail, f"free {LEAST_DISK / 2**30:.0f} GiB: runs and videos need it")
    return Check("disk", "ok", detail)


def _reference() -> Check:
    from edge_reid.reference import bundle_path

    try:
        bundle = Bundle.open(bundle_path())
        height, width = bundle.manifest.input_size
        names = []
        for modality in MODALITIES:
            engine = load_engine(bundle, modality)
            planes = (3,) if modality == "visible" else ()
            length = np.linalg.norm(engine.embed(np.zeros((1, height, width, *planes), dtype=np.uint8)))
            names.append(engine.name)
            engine.close()
            if not abs(length - 1) < 1e-3:
                raise UserError(f"{engine.name}: embeds with length {length:.3f} instead of 1; install edge-reid again")
    except UserError as error:
        return Check("reference model", "problem", str(error), "install edge-reid again, or pass --bundle to the apps")
    return Check("reference model", "ok", f"{bundle.manifest.recipe}, embeds with {' and '.join(names)}")
