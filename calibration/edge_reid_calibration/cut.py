"""Which channels a network can do without: structured pruning of both streams at once, with Torch-Pruning.

Channels that depend on each other (a residual sum's, the four streams' that share a gate, both modalities' before the
first shared stage) go together, the least important group first (Fang et al., DepGraph, 2023: L2 norm of everything
that belongs to a channel, its mean over the group).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import torch
import torch_pruning
from torch import Tensor, nn

from edge_reid.errors import CheckFailed
from edge_reid.models.cost import macs
from edge_reid.models.osnet import ChannelGate
from edge_reid.models.two_stream import TwoStream

STEPS = 50
"""In which the channels would go from all to next to none; a cut stops at the first that is small enough."""


def picture_macs(network: TwoStream, size: tuple[int, int]) -> int:
    """Multiply-accumulates of a picture of (H, W)."""
    return macs(network, torch.zeros(1, 3, *size))


def cut(
    network: TwoStream, size: tuple[int, int], is_small_enough: Callable[[TwoStream], bool], round_to: int = 8
) -> TwoStream:
    """A copy of a network with fewer channels.

    What decides the embedding's size stays: the last stage's outputs and the head, and so do the gates' hidden layers,
    which are one to eight channels wide.

    Args:
        network: in eval mode.
        size: (H, W) of its pictures.
        is_small_enough: says when to stop.
        round_to: channels of a layer come in multiples of it.

    Raises:
        CheckFailed: nothing more can be cut.
    """
    pruned = copy.deepcopy(network)
    _tie(pruned)
    images = torch.zeros(1, 3, *size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about modules that it leaves alone
        pruner = torch_pruning.pruner.BasePruner(
            pruned,
            example_inputs=(images, images),
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            global_pruning=True,
            pruning_ratio=1.0,
            max_pruning_ratio=0.75,
            iterative_steps=STEPS,
            ignored_layers=_kept(pruned),
            round_to=round_to,
            forward_fn=_joint,
        )
    for _ in range(STEPS):
        if is_small_enough(pruned):
            return pruned
        pruner.step()
    raise CheckFailed("nothing more can be cut from this network; aim at more than this, or start from a wider one")


def _joint(network: nn.Module, inputs: tuple[Tensor, Tensor]) -> Tensor:
    """Both modalities in one pass, so that what they share ties what they do not."""
    if not isinstance(network, TwoStream):
        raise TypeError(f"a TwoStream expected, got {type(network).__name__}")
    head = network.head
    return head.embedding(head(network.joint_maps(*inputs)[-1]))


def _kept(network: TwoStream) -> list[nn.Module]:
    stages = [*network.shared] if len(network.shared) else [network.visible[-1], network.thermal[-1]]
    last = [stages[-1]] if len(network.shared) else stages
    gates = [module.fc1 for module in network.modules() if isinstance(module, ChannelGate)]
    return [network.head, network.attention, *last, *gates]


def _tie(network: TwoStream) -> None:
    """Make convolutions with common weights one module, so that they are cut alike."""
    if network.share_mode == "stage":
        return
    for name, module in network.visible.named_modules():
        if isinstance(module, nn.Conv2d):
            parent, _, last = name.rpartition(".")
            setattr(network.thermal.get_submodule(parent), last, module)
