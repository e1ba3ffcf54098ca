"""What this machine has and what it misses: one line per check, each with its remedy. Needs no torch.

`root` is the folder that stands for `/`.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edge_reid.bundle import Bundle
from edge_reid.engines.inventory import State, inventory
from edge_reid.errors import UserError
from edge_reid.machine import (
    LEAST_TENSORRT,
    ROOT,
    board,
    cameras,
    cuda,
    gpus,
    installed_version,
    jetpack,
    processor,
    version_of,
)
from edge_reid.types import Json

LEAST_DISK = 2 * 2**30


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


def doctor(bundle: Path | None = None, root: Path = ROOT) -> list[Check]:
    """All checks, in the order in which a user meets their subjects; at last the engines of a bundle.

    Args:
        bundle: folder of one; the one that the project carries when not given.
        root: see above.

    Raises:
        UserError: there is no bundle in the folder that was given.
    """
    opened = Bundle.open(bundle) if bundle else None
    checks: list[Callable[[], Check]] = [
        _python, _processor, lambda: gpu(root), _numpy, lambda: opencv(root), _opencv_video, lambda: _cameras(root),
        _onnxruntime,
        lambda: _optional("openvino", "a faster engine on Intel and AMD processors", "openvino"),
        lambda: _optional("ncnn", "the engine of phones and small boards", "ncnn"),
        lambda: tensorrt(root),
        lambda: _optional("torch", "PyTorch trains and exports; the apps do not need it", "train"),
        lambda: _optional("onnx", "writes and quantises graphs", "export"),
        lambda: _optional("pyarrow", "writes the vectors of archives", "archive"),
        lambda: _optional("psycopg", "tells a fleet's PostgreSQL who is here", "fleet"),
        _display, _disk,
    ]  # fmt: skip
    return [*(check() for check in checks), *(engines(opened) if opened else [_reference()])]


def engines(bundle: Bundle) -> list[Check]:
    """One line per engine and precision of a bundle."""
    found = inventory(bundle)
    return [Check(f"{one.engine} {one.precision}", one.state, one.detail, one.remedy) for one in found]


def _python() -> Check:
    return Check("python", "ok", f"{platform.python_version()} at {sys.executable}")


def _processor() -> Check:
    name, flags = processor()
    detail = f"{name}, {os.cpu_count()} processors"
    if flags:
        return Check("processor", "ok", f"{detail}, 8-bit instructions: {' '.join(flags)}")
    remedy = "measure with `edge-reid benchmark`; a bundle exported without --int8 runs in FP32"
    return Check("processor", "absent", f"{detail}, no VNNI or dot-product instructions: INT8 may be slower", remedy)


def gpu(root: Path = ROOT) -> Check:
    """The NVIDIA GPU and what its system brings: nvidia-smi's words, or a Jetson's board, L4T and JetPack."""
    pack, version = jetpack(root), cuda(root)
    toolkit = f"CUDA {version}" if version else "no CUDA toolkit in /usr/local/cuda"
    if pack is None:
        if found := gpus():
            return Check("gpu", "ok", "; ".join([*found, toolkit]))
        return Check("gpu", "absent", "no NVIDIA GPU that nvidia-smi or a Jetson's system tells of", _NO_GPU)
    brings = f" with TensorRT {pack.tensorrt[0]}.{pack.tensorrt[1]}" if pack.tensorrt else ""
    l4t = f"L4T {pack.l4t or 'of unknown version'}, JetPack {pack.name}{brings}"
    detail = f"{board(root) or 'Jetson'}, {l4t}, {toolkit}"
    if pack.tensorrt and pack.tensorrt < LEAST_TENSORRT:
        remedy = "upgrade to JetPack 6.1 or newer for the tensorrt engine; onnxruntime runs on this one"
        return Check("gpu", "absent", f"{detail}; edge-reid needs TensorRT 10.3", remedy)
    return Check("gpu", "ok", detail)


_NO_GPU = "nothing, if there is none: onnxruntime and openvino use the processor; else install NVIDIA's driver"


def _numpy() -> Check:
    return Check("numpy", "ok", np.__version__)


def opencv(root: Path = ROOT) -> Check:
    """OpenCV, and whether it is a wheel of pip's or the system's."""
    if importlib.util.find_spec("cv2") is None:
        remedy = "make the environment with `python3 -m venv --system-site-packages`: JetPack brings OpenCV"
        return Check(
            "opencv", "problem", "not installed", remedy if jetpack(root) else "pip install 'edge-reid[camera]'"
        )
    try:
        import cv2
    except ImportError as error:
        return Check("opencv", "problem", str(error), "sudo apt-get install libgl1 libglib2.0-0")
    place = Path(cv2.__file__).parent
    wheels = [name for name in _OPENCV_WHEELS if installed_version(name) and "dist-packages" not in str(place)]
    detail = f"{cv2.__version__}, {'wheel ' + wheels[0] if wheels else 'the system'}, {place}"
    if not hasattr(cv2, "HOGDescriptor"):
        return Check("opencv", "problem", f"{detail}, no HOG detector", "pip install 'opencv-python<5'")
    if wheels and jetpack(root) and not _build_value(cv2.getBuildInformation(), "GStreamer"):
        remedy = f"pip uninstall {wheels[0]}, in an environment made with --system-site-packages"
        return Check("opencv", "absent", f"{detail}, hides JetPack's, which has GStreamer for CSI cameras", remedy)
    return Check("opencv", "ok", f"{detail}, with the HOG detector")


_OPENCV_WHEELS = (
    "opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless",
)  # fmt: skip


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


def _cameras(root: Path) -> Check:
    found = cameras(root)
    if not found:
        return Check("cameras", "absent", "no video device", "connect one, or give the apps a file or an address")
    detail = "; ".join(f"{', '.join(camera.devices)}: {camera.name}" for camera in found)
    if all(camera.is_allowed for camera in found):
        return Check("cameras", "ok", detail)
    refused = " ".join(device for camera in found if not camera.is_allowed for device in camera.devices)
    remedy = "sudo usermod -aG video $USER, and log in again"
    return Check("cameras", "problem", f"{detail}; this user may not open {refused}", remedy)


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


def tensorrt(root: Path = ROOT) -> Check:
    """TensorRT and pycuda; on a Jetson they are the system's, and an environment sees them only if it was told to."""
    purpose = "compiles and runs engines on NVIDIA GPUs"
    version, pycuda = (installed_version(name) for name in ("tensorrt", "pycuda"))
    if version and version_of(version) < LEAST_TENSORRT:
        return Check("tensorrt", "absent", f"{version}, and edge-reid needs 10.3", "install TensorRT 10.3 or newer")
    if version and pycuda:
        graphs = installed_version("cuda-bindings") or installed_version("cuda-python")
        launches = f"cuda-python {graphs}" if graphs else "no cuda-python, so no CUDA graphs: slower at small batches"
        remedy = "" if graphs else "pip install cuda-python"
        return Check("tensorrt", "ok", f"{version}, pycuda {pycuda}, {launches}; {purpose}", remedy)
    detail = f"no {'pycuda' if version else 'TensorRT'}; {purpose}"
    theirs = sorted((root / "usr" / "lib").glob("python3*/dist-packages/tensorrt"))
    if not version and theirs:
        python = theirs[0].parents[1].name
        here = f"python{sys.version_info.major}.{sys.version_info.minor}"
        remedy = "make the environment with `python3 -m venv --system-site-packages`"
        if python not in ("python3", here):
            remedy = f"that is for {python}, and this is {here}: `{python} -m venv --system-site-packages`"
        return Check("tensorrt", "absent", f"in {theirs[0].parent}, which this environment does not see", remedy)
    remedy = "pip install pycuda" if version else "pip install 'edge-reid[tensorrt]'"
    if jetpack(root) and not version:
        remedy = "sudo apt-get install python3-libnvinfer"
    return Check("tensorrt", "absent", detail, remedy)


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
    """The carried bundle in one line: the first of its engines that fails, or all that embed."""
    from edge_reid.reference import bundle_path

    try:
        bundle = Bundle.open(bundle_path())
        found = engines(bundle)
    except UserError as error:
        return Check("reference model", "problem", str(error), "install edge-reid again, or pass --bundle to the apps")
    for check in found:
        if check.state == "problem":
            return Check("reference model", "problem", f"{check.name}: {check.detail}", check.remedy)
    names = ", ".join(check.name for check in found if check.state == "ok")
    return Check("reference model", "ok", f"{bundle.manifest.recipe}, embeds with {names}")
