"""Checkpoints: the full state that a run goes on from, and the published model that everything else starts from.

`last.pt` holds tensors and plain values only and is read with `weights_only`; `model.safetensors` holds the network and
its light train-only heads (no classifiers) with one JSON text, key "edge_reid", in its header.
"""

from __future__ import annotations

import io
import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from edge_reid import recipes
from edge_reid.errors import UserError
from edge_reid.files import atomic_file
from edge_reid.models.build import build_network
from edge_reid.models.two_stream import TwoStream
from edge_reid.types import Json

FORMAT = 1
_KEY = "edge_reid"
_NETWORK = "network."
_OF_THESE_PEOPLE = ("classifiers", "memory")
"""Parts of names that are of use with the same training people only."""


@dataclass(frozen=True)
class LoadedModel:
    """A network ready to embed, and where it comes from."""

    model: TwoStream
    """In eval mode, on the CPU."""
    recipe: str
    config: dict[str, Json]
    """All numbers of the recipe."""
    size: tuple[int, int]
    """(H, W) of its input."""
    embedding_dim: int
    epoch: int
    """Epochs trained."""
    provenance: dict[str, Json]


@dataclass(frozen=True)
class Stored:
    """What a checkpoint file says, before a network is built from it."""

    weights: dict[str, Tensor]
    """Of the training network: "network.", "students.", "classifiers.", ... names."""
    recipe: str
    config: dict[str, Json]
    epoch: int
    provenance: dict[str, Json]


@dataclass(frozen=True)
class TrainingState:
    """A run between two steps: `step` steps of epoch `epoch` are done."""

    recipe: str
    config: dict[str, Json]
    plan: dict[str, Json]
    """Epochs, seed and the rest of the run's `Plan`."""
    network: dict[str, Tensor]
    optimizer: dict[str, Any]
    epoch: int
    step: int
    sums: dict[str, float]
    """Sums of the epoch's losses so far, by name."""
    history: list[dict[str, float]]
    """One row per finished epoch."""
    provenance: dict[str, Json]
    counts: dict[str, int] = field(default_factory=dict)
    """Steps of the epoch that had each of the sums."""
    scaler: dict[str, Any] = field(default_factory=dict)
    """Of fp16 gradients; empty without."""
    format: int = FORMAT


def save_state(state: TrainingState, path: Path) -> None:
    """Write a training checkpoint; a reader sees the old one or the new one, never half of one."""
    buffer = io.BytesIO()
    torch.save(dict(vars(state)), buffer)  # through memory: a full disk is then an OSError with a name
    _write(path, buffer.getvalue())


def load_state(path: Path) -> TrainingState:
    """Read a training checkpoint.

    Raises:
        UserError: it is missing, damaged, or of another format.
    """
    return TrainingState(**_read_state(path))


def load_stored(path: Path) -> Stored:
    """Read `last.pt` or `model.safetensors`, told apart by the file's name.

    Raises:
        UserError: the file is missing, damaged or not one of this project's.
    """
    if path.suffix == ".safetensors":
        return _read_published(path)
    state = load_state(path)
    return Stored(state.network, state.recipe, state.config, state.epoch, state.provenance)


def trained_on(provenance: dict[str, Json]) -> list[Json]:
    """The labels of all data sets that a checkpoint has learnt from, the models it started from included."""
    before = provenance.get("learnt_before")
    return [provenance.get("data"), *(before if isinstance(before, list) else [])]


def learnt_from(path: Path | None) -> list[Json]:
    """The labels of all data sets that a file's weights have learnt from; none for weights that are not this project's,
    or for no file.

    Raises:
        UserError: the file is missing.
    """
    if path is None:
        return []
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        return trained_on(load_stored(path).provenance)
    except UserError:
        return []


def load_model(path: Path) -> LoadedModel:
    """The network of a checkpoint, in eval mode; its train-only parts stay in the file.

    Raises:
        UserError: the file is missing, damaged or not one of this project's.
    """
    stored = load_stored(path)
    recipe = recipes.from_json(stored.recipe, stored.config)
    model = build_network(recipe)
    weights = {name[len(_NETWORK) :]: w for name, w in stored.weights.items() if name.startswith(_NETWORK)}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f"{path}: its weights do not fit its own config; the file is damaged, fetch it again"
        ) from error
    return LoadedModel(
        model.eval(), stored.recipe, stored.config, recipe.size, model.embedding_dim, stored.epoch, stored.provenance
    )


def build_from_config(recipe: str, config: dict[str, Json]) -> TwoStream:
    """The untrained network of a recipe's numbers, without train-only parts."""
    return build_network(recipes.from_json(recipe, config))


def publish(checkpoint: Path, out: Path) -> Path:
    """Write the model of a training checkpoint for others: weights without what is of these people, and the facts."""
    state = load_state(checkpoint)
    weights = {
        # Doubled stages may hold the same convolutions twice; safetensors wants each name to own its bytes.
        name: tensor.contiguous().clone()
        for name, tensor in state.network.items()
        if not _of_these_people(name)
    }
    return _publish(out, weights, state)


def _of_these_people(name: str) -> bool:
    return bool(set(_OF_THESE_PEOPLE) & set(name.split(".")))


def write_stored(stored: Stored, out: Path) -> Path:
    """Write a model that was made from another one: `stored` holds what is to be in the file."""
    return _publish(out, {name: tensor.contiguous().clone() for name, tensor in stored.weights.items()}, stored)


def _publish(out: Path, weights: dict[str, Tensor], source: TrainingState | Stored) -> Path:
    facts: dict[str, Json] = {
        "format": FORMAT,
        "recipe": source.recipe,
        "config": source.config,
        "epoch": source.epoch,
        "provenance": source.provenance,
    }
    _write(out, save(weights, metadata={_KEY: json.dumps(facts)}))
    return out


def write_network(checkpoint: Path, out: Path) -> Path:
    """Write what a device's PyTorch engine needs of a checkpoint: the network without train-only parts, and the facts.

    Raises:
        UserError: see `load_stored`.
    """
    stored = load_stored(checkpoint)
    weights = {name: w.contiguous().clone() for name, w in stored.weights.items() if name.startswith(_NETWORK)}
    return _publish(out, weights, stored)


def partial_load(network: nn.Module, path: Path) -> tuple[int, list[str]]:
    """Start a network from a checkpoint: take every tensor whose name and shape agree.

    Returns:
        How many were taken, and the names in the network that were not found (classifiers of other people, mostly).

    Raises:
        UserError: the deployed part of the network is not fully there, so the checkpoint is of another architecture.
    """
    stored = load_stored(path)
    own = network.state_dict()
    known = {name: w for name, w in stored.weights.items() if not _of_these_people(name)}
    taken = {name: w for name, w in known.items() if name in own and own[name].shape == w.shape}
    missing = [name for name in own if name not in taken]
    if any(name.startswith(_NETWORK) for name in missing):
        numbers = ", ".join(f"{k} {stored.config[k]}" for k in ("width", "share_from", "share_mode", "granularities"))
        raise UserError(f"{path}: holds a network of another shape ({numbers}); train with the same numbers")
    network.load_state_dict(taken, strict=False)
    return len(taken), missing


def _read_state(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint; give the last.pt or model.safetensors of a run")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a checkpoint (damaged or of another program)") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path}: not a training checkpoint of this version; give a last.pt or a model.safetensors")
    return cast(dict[str, Any], content)


def _read_published(path: Path) -> Stored:
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint; give the last.pt or model.safetensors of a run")
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get(_KEY, "{}"))
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as safetensors ({error}); fetch or publish it again") from error
    if facts.get("format") != FORMAT:
        raise UserError(f"{path}: not a model that edge-reid published; give a model.safetensors of a run")
    return Stored(weights, facts["recipe"], facts["config"], facts["epoch"], facts["provenance"])


def _write(path: Path, content: bytes) -> None:
    try:
        with atomic_file(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); free some space or choose another folder"
        ) from error
