"""What a device wants of its files: one file in `targets/` per kind of device."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from edge_reid_calibration import Scheme
from pydantic import BaseModel, ConfigDict

from edge_reid.errors import UserError
from edge_reid.toml import read_toml
from edge_reid_export.fold_block import Streams

FOLDER = Path(__file__).parent / "targets"


class Target(BaseModel):
    """A kind of device."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    about: str
    backend: Literal["onnxruntime", "tensorrt"]
    """What opens or compiles its files. OpenVINO opens those of onnxruntime."""
    streams: Streams
    """How the graph to quantise is arranged, see `edge_reid_export.fold_block`."""
    float16: bool = False
    """Whether values that are not 8 bits have 16, and a graph of 16 bits alone is written, too."""
    float32: tuple[str, ...] = ()
    """Names (regular expressions) of nodes that keep 32 bits then."""
    int8: Scheme

    def file(self, modality: str, precision: str) -> str:
        """The name of a file of a bundle."""
        middle = "" if self.backend == "onnxruntime" else f".{self.backend}"
        return f"{modality}{middle}.{precision}.onnx"


def names() -> list[str]:
    """The targets there are."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def get(name: str) -> Target:
    """A target by its name, or by the path of a .toml file of one's own.

    Raises:
        UserError: there is none of that name, or its file is malformed.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    missing = f"--target {name}: no such; choose of {', '.join(names())}, or give a .toml file"
    return read_toml(path, Target, missing=missing, name=path.stem)


def chosen(wanted: Iterable[str]) -> list[Target]:
    """The targets of these names.

    Raises:
        UserError: one does not exist, or two write the same files.
    """
    targets = [get(name) for name in wanted]
    for number, target in enumerate(targets):
        for other in targets[:number]:
            if other.backend == target.backend:
                raise UserError(
                    f"--target {target.name}: {other.name} is for {target.backend}, too; a bundle takes one"
                )
    return targets
