"""Data parallel runs: `torchrun --nproc-per-node N -m edge_reid.cli train ...`.

Each process computes the network on its share of a step's identities. Losses compare pictures of different people, so
they are computed on the outputs of all processes, by each of them, and BatchNorms use the statistics of all. A run of N
processes then takes the very steps that one process takes, up to rounding.
Shapes: B rows of one process, N processes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_map

from edge_reid.models.build import TrainingNetwork
from edge_reid.models.output import TrainingOutput


@dataclass(frozen=True)
class World:
    """The processes of a run, and which of them this one is."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    @property
    def share(self) -> tuple[int, int]:
        """Of each step's identities."""
        return self.rank, self.size

    def agree(self, wish: bool, device: torch.device) -> bool:
        """Whether any process wishes it; asked of all at the same step."""
        if self.size == 1:
            return wish
        told = torch.tensor(float(wish), device=device)
        dist.all_reduce(told)
        return bool(told)


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """The world that torchrun set up, NCCL on CUDA and gloo elsewhere; a world of one without torchrun."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()


def own_device(device: torch.device) -> torch.device:
    """Of several CUDA devices the one of this process."""
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


def parallel(network: TrainingNetwork, world: World, device: torch.device) -> nn.Module:
    """The network as the training step calls it; its weights and names stay where they are."""
    if world.size == 1:
        return network
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return DistributedDataParallel(network, device_ids=[device.index])
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.__class__ = SharedBatchNorm  # type: ignore[assignment]  # PyTorch's own is for GPUs only
    return DistributedDataParallel(network)


def gathered(output: TrainingOutput) -> TrainingOutput:
    """The outputs of all processes, whose rows are this step's; maps stay where they are, no loss needs them.

    The gradient of a row goes back to the process that it came from.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return output
    rest = output._replace(maps=type(output.maps)())
    return cast(TrainingOutput, tree_map(lambda leaf: _of_all(leaf) if isinstance(leaf, Tensor) else leaf, rest))


def _of_all(rows: Tensor) -> Tensor:
    if rows.is_floating_point() and rows.requires_grad:
        return cast(Tensor, _Gather.apply(rows))
    parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


class _Gather(torch.autograd.Function):
    """`(B, ...) -> (N B, ...)`. Every process computes the same loss from it; DDP's mean over them undoes the sum."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.rows = len(rows)
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        first = dist.get_rank() * ctx.rows
        return total[first : first + ctx.rows]


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes, whose gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


class SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm over the rows of all processes, for gloo."""

    def _check_input_dim(self, input: Tensor) -> None:
        return

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.running_mean is None or self.running_var is None:
            return super().forward(input)
        axes = [axis for axis in range(input.dim()) if axis != 1]
        wide = input.float()
        count = wide.new_full((1,), wide.numel() / wide.shape[1])
        total: Tensor = _Sum.apply(torch.cat([wide.sum(axes), wide.square().sum(axes), count]))
        (sums, squares), number = total[:-1].chunk(2), total[-1]
        mean = sums / number
        variance = (squares / number - mean.square()).clamp(min=0)  # rounding may leave it below
        with torch.no_grad():
            momentum = 0.1 if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * number / (number - 1), momentum)
        shape = [1, -1, *[1] * (input.dim() - 2)]
        scale = (self.weight * torch.rsqrt(variance + self.eps)).reshape(shape)
        out: Tensor = (wide - mean.reshape(shape)) * scale + self.bias.reshape(shape)
        return out.to(input.dtype)
