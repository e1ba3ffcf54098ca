"""The command that makes vectors of a whole archive."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from edge_reid.errors import CheckFailed
from edge_reid.progress import progress

if TYPE_CHECKING:
    from edge_reid.archive.embed import Outcome


@dataclass(frozen=True, kw_only=True)
class Embed:
    """Write the vectors of everyone in an archive as Parquet files; run again, it goes on where it stopped."""

    archive: Positional[Path]
    """A folder of pictures and all below it, a text list of pictures (one a line, relative to the list), or a video."""
    out: Path
    """Folder for part-*.parquet; all shards write into the same one."""
    modality: Literal["visible", "thermal"]
    """What the archive's camera sees."""
    bundle: Path | None = None
    """A bundle; the one that the project carries when not given."""
    detector: str | None = None
    """Cut out everyone whom hog, hot or onnx:FILE finds, in one frame of a video in N with ?every=N; without one, a
    picture is one person cut out."""
    least_score: float = 0.3
    """Of a person found, 0 to 1; the scores are in the table, too."""
    engine: Literal["onnxruntime", "openvino", "ncnn", "tensorrt", "torch"] | None = None
    """What runs the network; what `edge-reid benchmark` found fastest here, else onnxruntime, when not given."""
    shard: str | None = None
    """K/N: do the K-th of N shares, K from 0; torchrun and srun say it themselves."""
    shards: int | None = None
    """N, where JOB_COMPLETION_INDEX, SLURM_ARRAY_TASK_ID or AWS_BATCH_JOB_ARRAY_INDEX is K."""
    batch: int = 32
    """People who are embedded together."""
    block: int = 1024
    """Pictures or frames of one file: what a shard does at a time, and what a kill loses at most."""
    json: bool = False
    """Print one JSON document."""

    def run(self) -> None:
        """Write the files, say how many, and name what could not be read."""
        from edge_reid.archive.embed import Request, embed_archive
        from edge_reid.archive.shards import find_shard
        from edge_reid.reference import bundle_path

        shard = find_shard(self.shard, self.shards, os.environ)
        if shard.said_by:
            print(f"shard {shard}, by {shard.said_by}", file=sys.stderr)
        request = Request(
            bundle=self.bundle or bundle_path(), modality=self.modality, detector=self.detector,
            least_score=self.least_score, engine=self.engine, batch=self.batch, block=self.block,
        )  # fmt: skip
        with progress("embedding") as update:
            outcome = embed_archive(self.archive, self.out, request, shard, update)
        if self.json:
            print(json.dumps(asdict(outcome)))
        else:
            print(_said(self.out, outcome))
        if outcome.warning:
            print(f"warning: {outcome.warning}", file=sys.stderr)
        if outcome.skipped:
            first, more = outcome.skipped[0], len(outcome.skipped) - 1
            raise CheckFailed(
                f"{first['reason']}{f' (and {more} more)' if more else ''}: left out, see {self.out}/_skipped-*.jsonl"
            )


def _said(out: Path, outcome: Outcome) -> str:
    kept = f", {outcome.kept} were there" if outcome.kept else ""
    rate = f", {outcome.items / outcome.seconds:.0f} a second with {outcome.engine}" if outcome.items else ""
    return f"{out}: {outcome.parts} files written{kept}; {outcome.vectors} vectors of {outcome.items} pictures{rate}"
