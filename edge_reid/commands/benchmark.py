"""The command that measures: a bundle's engines, or a recipe's training."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from edge_reid.errors import CheckFailed, UserError
from edge_reid.progress import print_table, progress
from edge_reid.reference import bundle_path

if TYPE_CHECKING:
    from edge_reid.benchmark import Record
    from edge_reid.benchmark.compare import Comparison
    from edge_reid.benchmark.rivals import Rival
    from edge_reid.bundle import Bundle


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Time every engine and precision of a bundle, and keep the choice; or, with --training, a recipe's training."""

    bundle: Positional[Path | None] = None
    """A bundle; the one that the project carries when not given."""
    data: Path | None = None
    """Data folder whose test people give rank-1 and mAP; with --training, whose pictures are trained on."""
    batches: tuple[int, ...] = (1, 4, 8, 16)
    """Batch sizes."""
    seconds: float = 1.0
    """Of timing per row."""
    rivals: tuple[Literal["compile", "plain"], ...] | None = None
    """Also time what one could take instead: torch.compile (minutes to compile), the plain ONNX export; plain where
    PyTorch and onnx are installed, when not given."""
    cold: bool = True
    """Also measure cold start and memory, in a process of its own per file."""
    profile: bool = False
    """Also say which layers take the time, in ONNX Runtime and OpenVINO."""
    compare: Path | None = None
    """A benchmark.json of an earlier --out: exit code 1 if something became slower or worse."""
    out: Path | None = None
    """Folder for benchmark.json, benchmark.md and benchmark.html."""
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
        """Measure, print the tables, write what was asked for, and keep the choice in the bundle."""
        from edge_reid.benchmark import benchmark
        from edge_reid.benchmark.compare import compare, difference_table, read_record
        from edge_reid.bundle import Bundle

        if self.training:
            self._run_training(self.training)
            return
        older = read_record(self.compare) if self.compare else None
        bundle = Bundle.open(self.bundle or bundle_path())
        installed = all(importlib.util.find_spec(name) for name in ("torch", "onnx", "onnxscript"))
        rivals: tuple[Rival, ...] = ("plain",) if self.rivals is None and installed else self.rivals or ()
        with progress("timing") as update:
            record = benchmark(
                bundle, data=self.data, batches=self.batches, seconds=self.seconds, rivals=rivals, cold=self.cold,
                profiled=self.profile, progress=update,
            )  # fmt: skip
        comparison, refused = None, None
        try:
            comparison = compare(older, record) if older else None
        except UserError as error:
            refused = error  # told at the end: what was measured is not lost
        kept = _keep(bundle, record)
        if self.out:
            from edge_reid.benchmark.page import write_record

            write_record(self.out, record, [difference_table(comparison)] if comparison else [])
        if self.json:
            print(json.dumps(record.model_dump(mode="json") | _compared(comparison)))
        else:
            _print(record, comparison)
            print(kept)
            if self.out:
                print(f"{self.out / 'benchmark.html'}: open it in a browser; benchmark.md and benchmark.json beside it")
        if refused:
            raise refused
        if comparison and comparison.worse:
            worst = "; ".join(f"{one.row.label}: {one.what}" for one in comparison.worse[:3])
            more = f" and {len(comparison.worse) - 3} more" if len(comparison.worse) > 3 else ""
            raise CheckFailed(f"slower or worse than in {self.compare}: {worst}{more}")

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
        print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine().items() if value))


def _keep(bundle: Bundle, record: Record) -> str:
    """Write the choice into the bundle; a line that says where, or why not."""
    from edge_reid.engines.choice import choice_path, write_choice

    path = choice_path(bundle)
    if record.choice is None:
        return f"{path}: left as it is, for there is no choice"
    try:
        write_choice(bundle, record.choice)
    except OSError as error:
        return f"{path}: not kept, for the bundle cannot be written to ({error.strerror}); pass --engine to the app"
    return f"{path}: kept; the app takes this engine when none is named"


def _compared(comparison: Comparison | None) -> dict[str, object]:
    if comparison is None:
        return {}
    differences = [one._asdict() | {"row": one.row.label} for one in comparison.differences]
    return {"compared": {"differences": differences, "notes": comparison.notes}}


def _print(record: Record, comparison: Comparison | None) -> None:
    """Tables, then the rest in the order in which it matters; the verdict last."""
    from edge_reid.benchmark.compare import difference_table
    from edge_reid.benchmark.tables import NOTE, failures, machine_line, profile_lines, protocols, state_line, tables

    for table in (*tables(record), *([difference_table(comparison)] if comparison else [])):
        print_table(table.head, table.rows, title=table.title)
    print("\n".join([NOTE, *protocols(record)]))
    for profile in record.profiles:
        heading, kinds, slowest = profile_lines(profile)
        print(f"{heading}: {kinds}\n  slowest: {slowest}")
    for line in failures(record):
        print(f"not measured: {line}")
    print(f"{machine_line(record)}\n{state_line(record)}")
    for line in (*record.advice, *(comparison.notes if comparison else ())):
        print(line)
    for line in record.warnings:
        print(f"warning: {line}", file=sys.stderr)
    print(record.verdict)
