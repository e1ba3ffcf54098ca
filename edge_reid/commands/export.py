"""Commands that make a bundle of a checkpoint."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from edge_reid.errors import UserError
from edge_reid.progress import print_table
from edge_reid.reference import checkpoint_file
from edge_reid.types import MOST_LOST

if TYPE_CHECKING:
    from edge_reid.bundle import Accuracy, Manifest


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
    gate: float = MOST_LOST
    """Points of rank-1 or mAP that fewer bits may cost in either direction. INT8 that costs more has layers given back
    to floating point, worst first, until it does not."""
    method: Literal["percentile", "min-max", "entropy", "mse"] = "percentile"
    """From the values that calibration pictures make to INT8 ranges."""
    equalize: bool = True
    """Give all channels between the halves of a light convolution one range, which is exact."""
    correct: bool = False
    """Let biases take back the mean error of rounded weights."""
    qat: int = 0
    """Steps of quantisation-aware fine-tuning, in which FP32 teaches INT8; 200 are minutes at width 0.25."""
    force: bool = False
    """Give no layer back, write the bundle even if it cost more, and mark it."""
    overwrite: bool = False
    """Replace an existing bundle."""
    json: bool = False
    """Print the manifest as one JSON document."""

    def run(self) -> None:
        """Export and print what it cost."""
        self._export(int8=self.int8)

    def _export(self, *, int8: bool) -> None:
        from edge_reid_calibration import Calibration
        from edge_reid_export.accuracy import Gate
        from edge_reid_export.export import export
        from edge_reid_export.targets import chosen

        how = Calibration(method=self.method, equalize=self.equalize, correct=self.correct, finetune=self.qat)
        manifest = export(
            checkpoint=checkpoint_file(self.checkpoint), out=self.out, int8=how if int8 else None,
            targets=chosen(self.target), calibration=self.calibration, gate=Gate(points=self.gate, force=self.force),
            overwrite=self.overwrite, tell=lambda line: print(line, file=sys.stderr),
        )  # fmt: skip
        if self.json:
            print(manifest.model_dump_json())
        else:
            _print(self.out, manifest)


@dataclass(frozen=True, kw_only=True)
class Quantize(Export):
    """Export with --int8; with --sensitivity, first say what each layer costs in 8 bits."""

    sensitivity: Path | None = None
    """Folder to write: every layer's signal-to-noise, and what it alone costs in cosine, rank-1 and mAP, as a table, a
    plot and JSON, for the first --target."""

    def run(self) -> None:
        """Measure the layers if asked to, export, and print what it cost."""
        if self.calibration is None:
            raise UserError("--calibration: INT8 takes its ranges from pictures; give a data folder")
        if self.sensitivity:
            from edge_reid_export.targets import chosen

            from edge_reid.bundle import MANIFEST
            from edge_reid.files import refuse_existing

            chosen(self.target)
            refuse_existing(self.out, overwrite=self.overwrite, marker=MANIFEST)
            self._measure_layers(self.calibration, self.sensitivity)
        self._export(int8=True)

    def _measure_layers(self, data: Path, out: Path) -> None:
        from edge_reid_calibration import Calibration
        from edge_reid_export.sensitivity_report import report_sensitivity
        from edge_reid_export.targets import get

        how = Calibration(method=self.method, equalize=self.equalize, correct=self.correct)
        report_sensitivity(
            checkpoint=checkpoint_file(self.checkpoint), data=data, target=get(self.target[0]), how=how, out=out,
            tell=lambda line: print(line, file=sys.stderr),
        )  # fmt: skip
        print(f"{out}: sensitivity.md, sensitivity.svg, sensitivity.json", file=sys.stderr)


def _print(out: Path, manifest: Manifest) -> None:
    if manifest.accuracy:
        rows = [row for one in manifest.accuracy for row in _rows(one, manifest.accuracy[0])]
        print_table(("precision", "target", "direction", "rank-1", "", "mAP", "", "cosine p1"), rows)
        print(manifest.accuracy[0].results[0].protocol)
    calibration = manifest.provenance.calibration
    for target, layers in (calibration.layers if calibration else {}).items():
        for modality, one in layers.items():
            if one.milliseconds:
                price = "{:.2f} -> {:.2f} ms a crop".format(*one.milliseconds)
                names = ", ".join(one.given_back) or "none"
                print(f"{target} {modality}: {len(one.given_back)} layers given back, {price}: {names}")
    verdict = "; fewer bits cost more than the gate allows, written because of --force" if manifest.forced else ""
    size = sum(file.bytes for file in manifest.files) / 1e6
    print(f"{out}: {len(manifest.files)} files, {size:.1f} MB{verdict}")


def _rows(one: Accuracy, exact: Accuracy) -> list[tuple[str, ...]]:
    """Both directions, with the points gained or lost against FP32."""
    rows: list[tuple[str, ...]] = []
    for result, before in zip(one.results, exact.results, strict=True):
        gains = [100 * (result.rank1 - before.rank1), 100 * (result.mean_ap - before.mean_ap)]
        points = [f"{gain:+.2f}" if one is not exact else "" for gain in gains]
        cosines = one.cosines.get(result.query_modality)
        rows.append((
            one.precision.upper(), one.target or "", f"{result.query_modality} -> {result.gallery_modality}",
            f"{result.rank1:.1%}", points[0], f"{result.mean_ap:.1%}", points[1],
            f"{cosines.percentile1:.4f}" if cosines else "",
        ))  # fmt: skip
    return rows
