"""The model that the project carries: trained by itself on synthetic people. Its card is `README.md` beside this."""

from __future__ import annotations

from pathlib import Path

from edge_reid.errors import UserError

_FOLDER = Path(__file__).parent


def checkpoint_path() -> Path:
    """The reference checkpoint, `sdm-mgim` at width 0.25 and 256 x 128."""
    return _existing(_FOLDER / "model.safetensors")


def bundle_path() -> Path:
    """The same network as a bundle: FP32 and INT8 for ONNX Runtime."""
    return _existing(_FOLDER / "bundle")


def bundle_folder(path: Path) -> Path:
    """The bundle that a command means: a folder, or the project's own for the word `reference`."""
    return bundle_path() if path == Path("reference") else path


def _existing(path: Path) -> Path:
    if not path.exists():
        raise UserError(f"{path}: this installation carries no reference model; build it with `make reference`")
    return path


def checkpoint_file(path: Path) -> Path:
    """The checkpoint that a command means: a file, or the project's own for the word `reference`."""
    if path == Path("reference"):
        return checkpoint_path()
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint; train one with `edge-reid train`, or say reference")
    return path
