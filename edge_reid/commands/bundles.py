"""Commands that make a bundle and measure it on this machine."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from edge_reid.errors import UserError
from edge_reid.progress import print_table, progress
from edge_reid.reference import bundle_path, checkpoint_file


@dataclass(frozen=True, kw_only=True)
class Export:
    """Export a checkpoint as a bundle: one ONNX graph per modality, FP32 and, with --int8, quantised and gated."""

    checkpoint: Positional[Path]
    """A model.safetensors or last.pt, or `reference`."""
    out: Path
    """Bundle to write, a folder."""
    int8: bool = False
    """Also write INT8 graphs; needs --calibration."""
    calibration: Path | None = None
    """Data folder: its training people calibrate, its test people are the gate."""
    gate: float = 1.0
    """Points of rank-1 or mAP that INT8 may cost in either direction."""
    force: bool = False
    """Write the bundle even if it cost more, and mark it."""
    overwrite: bool = False
    """Replace an existing bundle."""
    json: bool = False
    """Print the manifest as one JSON document."""

    def run(self) -> None:
        """Export and print what it cost."""
        from edge_reid_export import export

        manifest = export(
            checkpoint=checkpoint_file(self.checkpoint), out=self.out, int8=self.int8, calibration=self.calibration,
            gate_points=self.gate, force=self.force, overwrite=self.overwrite,
            tell=lambda line: print(line, file=sys.stderr),
        )  # fmt: skip
        if self.json:
            print(manifest.model_dump_json())
            return
        if manifest.accuracy:
            rows = [
                (name, f"{r.query_modality} -> {r.gallery_modality}", f"{r.rank1:.1%}", f"{r.mean_ap:.1%}")
                for name, results in (("FP32", manifest.accuracy.before), ("INT8", manifest.accuracy.after or []))
                for r in results
            ]
            print_table(("precision", "direction", "rank-1", "mAP"), rows)
            print(manifest.accuracy.before[0].protocol)
        verdict = "; INT8 cost more than the gate allows, written because of --force" if manifest.forced else ""
        size = sum(file.bytes for file in manifest.files) / 1e6
        print(f"{self.out}: {len(manifest.files)} files, {size:.1f} MB{verdict}")


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Time every engine and precision of a bundle at several batch sizes; or, with --training, a recipe's training."""

    bundle: Positional[Path | None] = None
    """A bundle; the one that the project carries when not given."""
    data: Path | None = None
    """Data folder whose test people give rank-1 and mAP; with --training, whose pictures are trained on."""
    batches: tuple[int, ...] = (1, 4, 8)
    """Batch sizes."""
    training: str | None = None
    """Time the training of this recipe instead: pictures a second, and where their time goes."""
    data_set: Literal["folder", "sysu", "regdb", "llcm"] = "folder"
    """--training: what --data is."""
    set: tuple[str, ...] = ()
    """--training: numbers of the recipe, NAME=VALUE."""
    steps: int = 10
    """--training: steps to time."""
    workers: int = 1
    """--training: processes that read and augment pictures."""
    device: str | None = None
    """--training: a torch device; CUDA where there is one, else the CPU."""
    json: bool = False
    """Print one JSON document."""

    def run(self) -> None:
        """Measure and print the table."""
        from edge_reid.benchmark import HEAD, benchmark, cells
        from edge_reid.doctor import machine

        if self.training:
            self._run_training(self.training)
            return
        with progress("timing") as update:
            rows = benchmark(self.bundle or bundle_path(), data=self.data, batches=self.batches, progress=update)
        if self.json:
            print(json.dumps({"machine": machine(), "rows": [row.as_json() for row in rows]}))
            return
        print_table(HEAD, [cells(row) for row in rows], title="latency from array to array")
        for line in dict.fromkeys(row.protocol for row in rows if row.protocol):
            print(line)
        _print_machine()

    def _run_training(self, name: str) -> None:
        from edge_reid import recipes
        from edge_reid.data.sets import DataOptions, is_synthetic
        from edge_reid.doctor import machine
        from edge_reid.training.throughput import throughput

        if self.data is None:
            raise UserError("--training: needs pictures; give --data with a data set")
        data = DataOptions(data_set=self.data_set).open(self.data)
        recipe = recipes.suited(recipes.get(name), drawn=is_synthetic(data))
        recipe = recipes.changed(recipe, recipes.assignments(self.set))
        phases, said = throughput(data, recipe, steps=self.steps, workers=self.workers, device=self.device)
        if self.json:
            print(json.dumps({"machine": machine(), "phases": [phase.as_json() for phase in phases], "said": said}))
            return
        rows = [(p.name, f"{p.milliseconds:.1f}", f"{p.pictures_per_second:.0f}", p.where) for p in phases]
        size = f"{recipe.size[0]}x{recipe.size[1]}, {2 * recipe.identities * recipe.pictures} pictures a step"
        print_table(("phase", "ms a step", "pictures/s", "where"), rows, title=f"training {name}, {size}")
        print(said)
        _print_machine()


def _print_machine() -> None:
    from edge_reid.doctor import machine

    print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine().items() if value))


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Check this machine: libraries, engines, camera support, processor, the model that the project carries."""

    json: bool = False
    """Print one JSON document."""

    def run(self) -> None:
        """Print one line per check."""
        from edge_reid.doctor import doctor

        checks = doctor()
        if self.json:
            print(json.dumps([check.as_json() for check in checks]))
            return
        rows = [(check.name, check.state, check.detail, check.remedy) for check in checks]
        print_table(("", "state", "what is here", "what to do"), rows)
