"""Trunk weights from elsewhere: OSNet of torchreid, ResNet-50 of torchvision, or the trunk of a model of this project.

Only tensors are read (`weights_only`, or safetensors): a checkpoint that needs code to be loaded is refused.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from edge_reid.errors import UserError
from edge_reid.models.resnet import RESNET50_CHANNELS
from edge_reid.models.two_stream import TwoStream


def import_weights(network: TwoStream, path: Path) -> str:
    """Start both streams of a network from a checkpoint of its trunk.

    Args:
        network: changed in place.
        path: a .pth, .pt, .tar or .safetensors of torchreid's OSNet or torchvision's ResNet-50, with or without
            "state_dict" around and "module." before the names; or a model.safetensors of this project, of any recipe,
            whose visible stream both streams then start from.

    Returns:
        A line that says how many tensors matched, which were skipped, and why.

    Raises:
        UserError: the file is missing, not safe to read, or of another network: a tensor of the trunk is not in it.
    """
    names = _stage_names(network.channels)
    found = _by_authors(_read(path), names)
    places = _places(network, names)
    own = network.state_dict()
    taken: dict[str, Tensor] = {}
    wrong = [f"{name} is {tuple(w.shape)} here {tuple(own[places[name][0]].shape)}" for name, w in found.items()
             if name in places and own[places[name][0]].shape != w.shape]  # fmt: skip
    missing = [name for name in places if name not in found and not name.endswith("num_batches_tracked")]
    if wrong or missing:
        reason = wrong[0] if wrong else f"{missing[0]} is not in it"
        raise UserError(
            f"{path}: not the trunk of this recipe ({len(missing)} tensors missing, {len(wrong)} of another shape; "
            f"{reason}); choose --arch and --width as it was trained"
        )
    for name, place in places.items():
        if name in found:
            taken |= dict.fromkeys(place, found[name])
    network.load_state_dict(taken, strict=False)
    skipped = sorted({name.split(".")[0] for name in found if name not in places})
    left = f"; skipped, as a trunk has no such layer: {', '.join(skipped)}" if skipped else "; none skipped"
    matched = sum(name in places for name in found)
    return f"weights of {path}: {matched} of {len(found)} tensors matched, into both streams{left}"


_StageNames = list["str | tuple[str, ...]"]


def _places(network: TwoStream, names: _StageNames) -> dict[str, list[str]]:
    """The names of the trunk's tensors as their authors have them -> where they are in the network, once or twice."""
    places: dict[str, list[str]] = {}
    for name in network.state_dict():
        original = _authors_name(name, names, len(network.visible))
        if original is not None:
            places.setdefault(original, []).append(name)
    return places


def _by_authors(found: dict[str, Tensor], names: _StageNames) -> dict[str, Tensor]:
    """A model of this project as its trunk's authors would have saved its visible stream; others as they are."""
    own = {name.removeprefix("network."): tensor for name, tensor in found.items() if name.startswith("network.")}
    if not own:
        return found
    specific = len({name.split(".")[1] for name in own if name.startswith("visible.")})
    renamed = {name: _authors_name(name, names, specific) for name in own if not name.startswith("thermal.")}
    return {original or name: own[name] for name, original in renamed.items()}


def _authors_name(name: str, names: _StageNames, specific: int) -> str | None:
    """The authors' name of a tensor of a two-stream network with so many doubled stages; None outside of the trunk."""
    stream, _, rest = name.partition(".")
    if stream not in ("visible", "thermal", "shared"):
        return None
    place, _, inner = rest.partition(".")
    stage = names[int(place) + (specific if stream == "shared" else 0)]
    if isinstance(stage, str):
        return f"{stage}.{inner}"
    child, _, inner = inner.partition(".")
    return f"{stage[int(child)]}.{inner}"


def _stage_names(channels: tuple[int, ...]) -> _StageNames:
    """What the authors call the five stages; the first one's children have names of their own."""
    if channels[4] == RESNET50_CHANNELS[4]:
        return [("conv1", "bn1", "relu", "maxpool"), "layer1", "layer2", "layer3", "layer4"]
    return [("conv1", "maxpool"), "conv2", "conv3", "conv4", "conv5"]


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(f"{path}: no such file; give weights of torchreid's OSNet or torchvision's ResNet-50")
    try:
        content: Any = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, SafetensorError, EOFError, OSError, ValueError) as error:
        raise UserError(
            f"{path}: cannot be read as plain tensors; save its state_dict alone with torch.save and give that"
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not any(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"{path}: holds no state_dict of tensors; give weights of OSNet or ResNet-50")
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    return {name.removeprefix("module."): value for name, value in tensors.items()}
