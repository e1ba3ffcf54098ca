from __future__ import annotations

import pytest

from edge_reid.archive.shards import find_shard
from edge_reid.errors import UserError


@pytest.mark.parametrize(
    ("shard", "shards", "environment", "expected"),
    [
        (None, None, {}, "0/1"),
        ("3/10", None, {"RANK": "1", "WORLD_SIZE": "2"}, "3/10"),
        (None, None, {"RANK": "1", "WORLD_SIZE": "2"}, "1/2"),
        (None, None, {"SLURM_PROCID": "5", "SLURM_NTASKS": "8"}, "5/8"),
        (None, None, {"RANK": "1", "WORLD_SIZE": "2", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, "1/2"),
        (None, 4, {"JOB_COMPLETION_INDEX": "2"}, "2/4"),
        (None, 4, {"SLURM_ARRAY_TASK_ID": "3", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, "3/4"),
        # a job's number alone may stand for anything, such as one of many archives
        (None, None, {"JOB_COMPLETION_INDEX": "2"}, "0/1"),
        (None, None, {"RANK": "1"}, "0/1"),
    ],
)
def test_a_shard_is_what_was_said_else_what_the_starter_says(
    shard: str | None, shards: int | None, environment: dict[str, str], expected: str
) -> None:
    found = find_shard(shard, shards, environment)
    assert str(found) == expected
    assert (found.said_by is None) == (expected == "0/1")


@pytest.mark.parametrize(
    ("shard", "shards", "environment", "line"),
    [
        ("3/3", None, {}, "--shard 3/3: names no shard"),
        ("-1/3", None, {}, "--shard -1/3: names no shard"),
        ("3", None, {}, "--shard 3: names no shard"),
        ("0/2", 2, {}, "leave one of them out"),
        (None, 2, {"RANK": "0", "WORLD_SIZE": "2"}, "--shards 2: none of JOB_COMPLETION_INDEX, .* pass --shard K/N"),
        (None, 2, {"JOB_COMPLETION_INDEX": "2"}, "--shards 2 with JOB_COMPLETION_INDEX=2: names no shard"),
        (None, None, {"RANK": "2", "WORLD_SIZE": "2"}, "RANK=2 WORLD_SIZE=2: names no shard"),
    ],
)
def test_what_names_no_shard_is_refused(
    shard: str | None, shards: int | None, environment: dict[str, str], line: str
) -> None:
    with pytest.raises(UserError, match=line):
        find_shard(shard, shards, environment)
