"""Which share of an archive a program embeds, by its options or by what started it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_reid.errors import UserError

STARTERS = {"torchrun": ("RANK", "WORLD_SIZE"), "SLURM": ("SLURM_PROCID", "SLURM_NTASKS")}
"""Variables with the number of a program among those started for one purpose, and with how many these are."""

JOB_NUMBERS = ("JOB_COMPLETION_INDEX", "SLURM_ARRAY_TASK_ID", "AWS_BATCH_JOB_ARRAY_INDEX")
"""Variables with a job's number among jobs that may have been started for many purposes, so that by itself it says
nothing: --shards must say that it counts shards, and how many there are."""


@dataclass(frozen=True)
class Shard:
    """One of `count` programs that share the work; the first is 0."""

    index: int
    count: int
    said_by: str | None
    """The option or variable that says so; None where nothing does, and one program does it all."""

    def __str__(self) -> str:
        """As --shard takes it."""
        return f"{self.index}/{self.count}"


def find_shard(shard: str | None, shards: int | None, environment: Mapping[str, str]) -> Shard:
    """The share of this program.

    Args:
        shard: "K/N", K from 0.
        shards: N, where K is in one of the variables `JOB_NUMBERS`.
        environment: of the program.

    Without either it is the one that `STARTERS` tell, else all.

    Raises:
        UserError: it is not two numbers with 0 <= K < N, both are given, or N is and K is not to be found.
    """
    if shard is not None:
        if shards is not None:
            raise UserError(f"--shards {shards}: --shard {shard} says it already; leave one of them out")
        index, _, count = shard.partition("/")
        return _checked(index, count, f"--shard {shard}", "--shard")
    if shards is not None:
        for name in JOB_NUMBERS:
            if name in environment:
                said = f"--shards {shards} with {name}={environment[name]}"
                return _checked(environment[name], str(shards), said, f"--shards and {name}")
        raise UserError(f"--shards {shards}: none of {', '.join(JOB_NUMBERS)} is set to say which; pass --shard K/N")
    for starter, (index, count) in STARTERS.items():
        if index in environment and count in environment:
            said = f"{index}={environment[index]} {count}={environment[count]}"
            return _checked(environment[index], environment[count], said, starter)
    return Shard(0, 1, None)


def _checked(index: str, count: str, said: str, said_by: str) -> Shard:
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise UserError(f"{said}: names no shard; those of ten are 0/10 to 9/10")
    return Shard(int(index), int(count), said_by)
