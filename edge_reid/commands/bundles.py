"""Commands that make a bundle, and the one that checks the machine it is for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from edge_reid.errors import CheckFailed
from edge_reid.progress import print_table


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
                on_gpu = ""
                if record.dla is not None:
                    on_gpu = f"; {len(record.on_gpu)} layers stay on the GPU: {', '.join(record.on_gpu) or 'none'}"
                print(f"{record.modality} {record.precision} on {record.device}: {kernels}{on_gpu}")


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Check this machine: libraries, engines, cameras, processor, GPU; and which engines of a bundle run here."""

    bundle: Positional[Path | None] = None
    """A bundle, or `reference`, whose engines are opened and compared with its FP32 graphs; exit code 1 if one of them
    is no good."""
    json: bool = False
    """Print one JSON document."""

    def run(self) -> None:
        """Print one line per check."""
        from edge_reid.doctor import doctor
        from edge_reid.reference import bundle_folder

        checks = doctor(self.bundle and bundle_folder(self.bundle))
        if self.json:
            print(json.dumps([check.as_json() for check in checks]))
        else:
            rows = [(check.name, check.state, check.detail, check.remedy) for check in checks]
            print_table(("", "state", "what is here", "what to do"), rows)
        if self.bundle and (bad := [check.name for check in checks if check.state == "problem"]):
            raise CheckFailed(f"{self.bundle}: {len(bad)} lines above say what to do: {', '.join(bad)}")
