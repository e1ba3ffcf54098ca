"""Commands that make a bundle and measure it on this machine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from edge_reid.errors import CheckFailed, UserError
from edge_reid.progress import print_table, progress
from edge_reid.reference import bundle_path


@dataclass(frozen=True, kw_only=True)
class Compile:
    """Build a bundle's engines: TensorRT and OpenVINO on the device that runs them, ncnn and ORT for any."""

    bundle: Positional[Path]
    """A bundle; for TensorRT one that was exported with --target tensorrt."""
    engine: Literal["tensorrt", "openvino", "ncnn", "ort"] = "tensorrt"
    """What runs them; ort is the format that ONNX Runtime's builds for Android and iOS open."""
    precision: Literal["fp32", "fp16", "int8"] | None = None
    """The fewest bits that the bundle has for the engine, when not given; for ncnn fp32."""
    max_batch: int | None = None
    """TensorRT: crops of one call at most; 32 when not given."""
    best_batch: int | None = None
    """TensorRT: crops that calls mostly have; 4 when not given."""
    workspace: int | None = None
    """TensorRT: MiB in which the builder may try kernels; a quarter of what is free, a GiB at most, when not given."""
    level: Literal[0, 1, 2, 3, 4, 5] | None = None
    """TensorRT: of the builder's effort; 3 when not given."""
    dla: int | None = None
    """TensorRT: core of a deep learning accelerator (Orin, Xavier): a fixed batch, and what it cannot take stays on the
    GPU."""
    json: bool = False
    """Print the engines' records as one JSON document."""

    def run(self) -> None:
        """Build and print where they lie."""
        from edge_reid_export.compile import Wish, compile_bundle

        from edge_reid.bundle import Bundle
        from edge_reid.engines.plan import PlanRecord

        wish = Wish(
            precision=self.precision, max_batch=self.max_batch, best_batch=self.best_batch,
            workspace=self.workspace, level=self.level, dla=self.dla,
        )  # fmt: skip
        told = (lambda line: None) if self.json else print
        records = compile_bundle(Bundle.open(self.bundle), self.engine, wish, told)
        if self.json:
            print(json.dumps([record.model_dump() for record in records]))
            return
        for record in records:
            if isinstance(record, PlanRecord):
                kernels = ", ".join(f"{count} {kind}" for kind, count in sorted(record.kernels.items()))
                on_gpu = f"; {len(record.on_gpu)} layers stay on the GPU" if record.dla is not None else ""
                print(f"{record.modality} {record.precision} on {record.device}: {kernels}{on_gpu}")


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
        from edge_reid.machine import machine

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
        from edge_reid.machine import machine
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
    from edge_reid.machine import machine

    print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine().items() if value))


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Check this machine: libraries, engines, cameras, processor, GPU; and which engines of a bundle run here."""

    bundle: Positional[Path | None] = None
    """A bundle whose engines are opened and compared with its FP32 graphs; exit code 1 if one of them is no good."""
    json: bool = False
    """Print one JSON document."""

    def run(self) -> None:
        """Print one line per check."""
        from edge_reid.doctor import doctor

        checks = doctor(self.bundle)
        if self.json:
            print(json.dumps([check.as_json() for check in checks]))
        else:
            rows = [(check.name, check.state, check.detail, check.remedy) for check in checks]
            print_table(("", "state", "what is here", "what to do"), rows)
        if self.bundle and (bad := [check.name for check in checks if check.state == "problem"]):
            raise CheckFailed(f"{self.bundle}: {len(bad)} lines above say what to do: {', '.join(bad)}")
