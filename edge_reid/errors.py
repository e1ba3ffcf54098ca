"""The two ways in which a request ends without a result. Everything else is a defect and keeps its traceback."""

from __future__ import annotations

import errno


class UserError(ValueError):
    """The request was wrong. One line that names the file or option and the remedy; exit code 2."""


class CheckFailed(Exception):  # noqa: N818 (a result, not a fault)
    """The work was done and a check fell short of its bound (accuracy gate, parity). One line; exit code 1."""


def one_line(error: Exception) -> str:
    """What a user is told of an error: cause and remedy in one line."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{error.filename or 'the disk'}: no space left; free some or choose another output"
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed; pip install 'edge-reid[{_EXTRA_OF.get(error.name or '', 'train')}]'"
    if isinstance(error, ImportError):  # a library that is there but lacks one of the system's
        return f"{' '.join(str(error).split())}; `edge-reid doctor` says what is missing"
    return " ".join(str(error).split())


_EXTRA_OF = {
    "cryptography": "encryption",
    "cv2": "camera",
    "ncnn": "ncnn",
    "onnx": "export",
    "onnxscript": "export",
    "openvino": "openvino",
    "paho": "mqtt",
    "prometheus_client": "web",
    "pyarrow": "archive",
    "psycopg": "fleet",
    "pgvector": "fleet",
    "starlette": "web",
    "tensorrt": "tensorrt",
    "uvicorn": "web",
}
