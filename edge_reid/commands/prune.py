"""The command that makes a network narrower."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from tyro.conf import OmitArgPrefixes, Positional

from edge_reid.data.sets import DataOptions
from edge_reid.reference import checkpoint_file


@dataclass(frozen=True, kw_only=True)
class Prune:
    """Cut channels out of both streams in steps, fine-tuning after each while the unpruned network teaches; run the
    same command again to go on."""

    checkpoint: Positional[Path]
    """A model.safetensors or last.pt, or `reference`."""
    data: Positional[Path]
    """Data folder, or a published set: its training people fine-tune, its test people measure."""
    out: Path
    """Folder to write: model.safetensors, pruning.md, .svg and .json, and the run of each step."""
    protocol: OmitArgPrefixes[DataOptions] = field(default_factory=DataOptions)
    target_macs: float | None = None
    """Share of the multiply-accumulates to keep; 0.5 where no target is given."""
    target_latency: float | None = None
    """Milliseconds of a crop in ONNX Runtime, FP32, on this machine, instead."""
    round_to: int = 8
    """Channels of a layer come in multiples of it: 8 for tensor cores and 8-bit kernels, 16 for ONNX Runtime's float
    kernels on AVX-512."""
    steps: int = 3
    """Cuts."""
    epochs: int = 4
    """Of fine-tuning after each."""
    steps_per_epoch: int | None = None
    """As many as draw each picture once when not given."""
    learning_rate: float = 1e-3
    """Peak, in each fine-tuning."""
    identities: int | None = None
    """Identities of a step of training."""
    seed: int = 0
    """Of the batches."""
    amp: Literal["off", "bf16", "fp16"] | None = None
    """Precision of the fine-tuning; bf16 on CUDA when not given."""
    device: str | None = None
    """A torch device; CUDA where there is one, else the CPU."""
    workers: int = 1
    """Processes that read and augment pictures."""
    json: bool = False
    """Print all stages as one JSON document."""

    def run(self) -> None:
        """Prune and print each stage."""
        from edge_reid_calibration.prune import Aim, prune
        from edge_reid_export.latency import network_milliseconds

        share = 0.5 if self.target_macs is None and self.target_latency is None else self.target_macs
        aim = Aim(
            macs=share, milliseconds=self.target_latency, round_to=self.round_to, steps=self.steps, epochs=self.epochs,
            steps_per_epoch=self.steps_per_epoch, learning_rate=self.learning_rate, identities=self.identities,
            seed=self.seed, amp=self.amp,
        )  # fmt: skip
        stages = prune(
            checkpoint=checkpoint_file(self.checkpoint), data=self.protocol.open(self.data), out=self.out, aim=aim,
            latency=network_milliseconds, device=self.device, workers=self.workers,
            tell=lambda line: print(line, file=sys.stderr, flush=True),
        )  # fmt: skip
        if self.json:
            print(json.dumps([asdict(stage) for stage in stages]))
            return
        print((self.out / "pruning.md").read_text(encoding="utf-8"))
        print(f"{self.out / 'model.safetensors'}: the pruned model")
