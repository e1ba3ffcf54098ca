"""Commands that make a bundle, and the one that checks the machine it is for."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from edge_reid.progress import print_table
from edge_reid.reference import checkpoint_file


@dataclass(frozen=True, kw_only=True)
class Export:
    """Export a checkpoint as a bundle: one ONNX graph per modality, FP32 and, with --int8, quantised and gated."""

    checkpoint: Positional[Path]
    """A model.safetensors or last.pt, or `reference`."""
    out: Path
    """Bundle to write, a folder."""
    int8: bool = False
    """Also write INT8 graphs; needs --calibration."""
    target: tuple[str, ...] = ("x86-vnni",)
    """Kinds of devices that INT8 and FP16 graphs are for: arm, tensorrt, tensorrt-dense, x86, x86-vnni, or a .toml."""
    calibration: Path | None = None
    """Data folder: its training people calibrate, its test people are the gate."""
    gate: float = 1.0
    """Points of rank-1 or mAP that fewer bits may cost in either direction."""
    force: bool = False
    """Write the bundle even if it cost more, and mark it."""
    overwrite: bool = False
    """Replace an existing bundle."""
    json: bool = False
    """Print the manifest as one JSON document."""

    def run(self) -> None:
        """Export and print what it cost."""
        from edge_reid_export.export import Gate, export
        from edge_reid_export.targets import chosen

        manifest = export(
            checkpoint=checkpoint_file(self.checkpoint), out=self.out, int8=self.int8, targets=chosen(self.target),
            calibration=self.calibration, gate=Gate(self.gate, self.force), overwrite=self.overwrite,
            tell=lambda line: print(line, file=sys.stderr),
        )  # fmt: skip
        if self.json:
            print(manifest.model_dump_json())
            return
        if manifest.accuracy:
            rows = [
                (
                    one.precision.upper(), one.target or "", f"{r.query_modality} -> {r.gallery_modality}",
                    f"{r.rank1:.1%}", f"{r.mean_ap:.1%}",
                )
                for one in manifest.accuracy
                for r in one.results
            ]  # fmt: skip
            print_table(("precision", "target", "direction", "rank-1", "mAP"), rows)
            print(manifest.accuracy[0].results[0].protocol)
        verdict = (
            "; less than 32 bits cost more than the gate allows, written because of --force" if manifest.forced else ""
        )
        size = sum(file.bytes for file in manifest.files) / 1e6
        print(f"{self.out}: {len(manifest.files)} files, {size:.1f} MB{verdict}")


@dataclass(frozen=True, kw_only=True)
class Compile:
    """Build a bundle's engines on the device that will run them."""

    bundle: Positional[Path]
    """A bundle that was exported with --target tensorrt."""
    engine: Literal["tensorrt"] = "tensorrt"
    """What builds and runs them."""
    precision: Literal["fp16", "int8"] | None = None
    """int8 where the bundle has it, when not given."""
    max_batch: int = 32
    """Crops of one call at most."""
    best_batch: int = 4
    """Crops that calls mostly have."""
    workspace: int | None = None
    """MiB in which the builder may try kernels; a quarter of what is free, a GiB at most, when not given."""
    level: Literal[0, 1, 2, 3, 4, 5] = 3
    """Of the builder's effort."""
    dla: int | None = None
    """Core of a deep learning accelerator (Orin, Xavier): a fixed batch, and what it cannot take stays on the GPU."""
    json: bool = False
    """Print the engines' records as one JSON document."""

    def run(self) -> None:
        """Build and print where they lie."""
        from edge_reid_export.compile import Wish, compile_tensorrt

        from edge_reid.bundle import Bundle

        wish = Wish(
            precision=self.precision, max_batch=self.max_batch, best_batch=self.best_batch,
            workspace_mib=self.workspace, level=self.level, dla=self.dla,
        )  # fmt: skip
        told = (lambda line: None) if self.json else print
        records = compile_tensorrt(Bundle.open(self.bundle), wish, told)
        if self.json:
            print(json.dumps([record.model_dump() for record in records]))
            return
        for record in records:
            kernels = ", ".join(f"{count} {kind}" for kind, count in sorted(record.kernels.items()))
            print(f"{record.modality} {record.precision}, TensorRT {record.tensorrt} on {record.gpu}: {kernels}")


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
