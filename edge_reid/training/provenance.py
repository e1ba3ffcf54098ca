"""What a run was made of: code, pictures, the model that it began from, the machine."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from pathlib import Path

import torch

import edge_reid
from edge_reid.data.loader import TrainingPictures
from edge_reid.data.parts import relative
from edge_reid.data.sets import ReidData
from edge_reid.errors import UserError
from edge_reid.files import sha256
from edge_reid.training.checkpoint import learnt_from
from edge_reid.types import Json


def origin(
    data: ReidData, pictures: TrainingPictures, maps: list[Path], source: Path | None, device: torch.device
) -> dict[str, Json]:
    """What a run begins with.

    Args:
        data: the people.
        pictures: those of them that it learns from.
        maps: their label maps.
        source: the model or the trunk that it starts from, None for random weights.
        device: where it computes.
    """
    return {
        "data": data.label,
        "identities": len(pictures.labels),
        "pictures": len(pictures.samples),
        "pictures_sha256": fingerprint(pictures, data.root, maps),
        "label_maps": len(maps),
        "init": source.name if source else None,
        "init_sha256": sha256(source) if source else None,
        "learnt_before": learnt_from(source),
        "edge_reid": edge_reid.__version__,
        "git": revision(),
        "torch": str(torch.__version__),  # a TorchVersion is no plain string: safe loading refuses it
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
    }


def revision() -> str | None:
    """The commit of the checkout that this code runs from, with + where it was changed; None outside of one."""
    root = Path(edge_reid.__file__).parent.parent
    if not (root / ".git").exists():
        return None
    words = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
    try:
        said = subprocess.run(words, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said.stdout.strip() or None


def fingerprint(pictures: TrainingPictures, root: Path, maps: list[Path]) -> str:
    """Of the pictures' names and sizes and of what else is learnt: other people, or new drawings, have another.

    Raises:
        UserError: a picture is not there.
    """
    try:
        sizes = [(sample.path, sample.path.stat().st_size) for sample in pictures.samples]
        lines = [f"{relative(path, root).as_posix()} {size}" for path, size in sizes]
        lines += [f"{pictures.attributes}", *(f"{path.name} {path.stat().st_size}" for path in maps)]
    except FileNotFoundError as error:
        raise UserError(
            f"{error.filename}: the data set lists this picture, and it is not there; unpack the set again, "
            "`edge-reid data check` tells what else is missing"
        ) from error
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
