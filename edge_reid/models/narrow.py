"""Networks with layers narrower than their width's own: what pruning leaves of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from edge_reid.errors import UserError
from edge_reid.models.two_stream import TwoStream

Sizes = tuple[int, int]
"""Inputs and outputs of a layer."""


def narrowed_layers(full: nn.Module, pruned: nn.Module) -> tuple[str, ...]:
    """The layers of `pruned` that have other sizes than those of `full`, as "NAME INPUTS OUTPUTS"."""
    before, after = (
        {name: _sizes(module) for name, module in network.named_modules(remove_duplicate=False)}
        for network in (full, pruned)
    )
    return tuple(f"{name} {sizes[0]} {sizes[1]}" for name, sizes in after.items() if sizes and sizes != before[name])


def narrow(network: TwoStream, layers: Sequence[str]) -> None:
    """Give layers of a network the sizes that `narrowed_layers` noted; their weights are new.

    Raises:
        UserError: the network has no such layer, or a narrower one.
    """
    for layer in layers:
        name, *numbers = layer.split()
        module = _found(network, name)
        own = _sizes(module) if module is not None else None
        if module is None or own is None or len(numbers) != 2 or not all(number.isdigit() for number in numbers):
            raise UserError(f"layers: the network has no layer {layer!r} to narrow; see `edge-reid prune`")
        inputs, outputs = map(int, numbers)
        if not (0 < inputs <= own[0] and 0 < outputs <= own[1]):
            raise UserError(
                f"layers: {name} of this network has {own[0]} x {own[1]} channels, not {inputs} x {outputs}"
            )
        parent, _, last = name.rpartition(".")
        setattr(network.get_submodule(parent), last, _resized(module, inputs, outputs))
    if layers:
        network.share_convolutions()
        with torch.no_grad():
            shadow = copy.deepcopy(network).eval()
            # where the weights are, for PyTorch's arithmetic on "meta" takes several times as long on so few pixels
            maps = shadow.maps(torch.zeros(1, 3, 64, 64, device=next(shadow.parameters()).device), "visible")
        network.channels = tuple(each.shape[1] for each in maps)  # type: ignore[assignment]  # five of them


def _found(network: nn.Module, name: str) -> nn.Module | None:
    try:
        return network.get_submodule(name)
    except AttributeError:
        return None


def _sizes(module: nn.Module) -> Sizes | None:
    if isinstance(module, nn.Conv2d):
        return module.in_channels, module.out_channels
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if isinstance(module, nn.BatchNorm2d):
        return module.num_features, module.num_features
    return None


def _resized(module: nn.Module, inputs: int, outputs: int) -> nn.Module:
    if isinstance(module, nn.Conv2d):
        return nn.Conv2d(
            inputs, outputs, module.kernel_size, module.stride, module.padding,  # type: ignore[arg-type]
            groups=outputs if module.groups > 1 else 1, bias=module.bias is not None,
        )  # fmt: skip
    if isinstance(module, nn.Linear):
        return nn.Linear(inputs, outputs, bias=module.bias is not None)
    return nn.BatchNorm2d(outputs)
