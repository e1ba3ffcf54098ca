"""What each layer of a network costs in 8 bits: a table, a plot and the numbers."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import onnx
from edge_reid_calibration import Calibration, Quantizer
from edge_reid_calibration.sensitivity import LayerNoise, sensitivity

from edge_reid.charts import ACCENT, SOFT, figure, svg
from edge_reid.data.folder import FolderDataset
from edge_reid.files import atomic_folder, refuse_existing, sha256
from edge_reid.training.checkpoint import load_model
from edge_reid.types import MODALITIES, Modality
from edge_reid_export.accuracy import Gate, Judge
from edge_reid_export.export import bare_manifest, pools_of
from edge_reid_export.graphs import Pictures, Source, quantizer
from edge_reid_export.targets import Target

MARKER = "sensitivity.json"


@dataclass(frozen=True)
class LayerCost:
    """One layer of one modality's graph in 8 bits, all else in floating point."""

    modality: Modality
    layer: str
    operator: str
    snr_db: float
    """Of the layer's own result."""
    cosine: float
    """Of the embeddings with the float ones, mean over calibration pictures."""
    points: tuple[float, float, float, float]
    """Gained or lost on the test people: rank-1 and mAP thermal to visible, rank-1 and mAP visible to thermal."""


def report_sensitivity(
    *,
    checkpoint: Path,
    data: Path,
    target: Target,
    how: Calibration,
    out: Path,
    tell: Callable[[str], None] = lambda line: None,
) -> list[LayerCost]:
    """Measure every layer and write sensitivity.json, .md and .svg into the folder `out`.

    Raises:
        UserError: an input is missing or malformed, or `out` exists and is no such report.
    """
    refuse_existing(out, overwrite=True, marker=MARKER)
    loaded, dataset = load_model(checkpoint), FolderDataset(data)
    source = Source(loaded, sha256(checkpoint))
    pictures = Pictures(dataset, pools_of(dataset), how)
    costs: list[LayerCost] = []
    with tempfile.TemporaryDirectory() as scratch:
        exact = {modality: Path(scratch) / f"{modality}.onnx" for modality in MODALITIES}
        for modality, path in exact.items():
            source.write(path, modality, target.streams)
        judge = Judge(bare_manifest(checkpoint, loaded, dataset), exact, dataset, Gate())
        for modality, path in exact.items():
            made = quantizer(onnx.load(path), target, pictures, modality, loaded.size, tell)
            layers = len(made.layers())
            tell(f"{modality}: {layers} layers")
            for number, noise in enumerate(sensitivity(made), start=1):
                if number % 20 == 0:
                    tell(f"{modality}: searched with {number} of {layers} layers in 8 bits, one at a time")
                alone = Path(scratch) / "alone.onnx"
                onnx.save(_alone(made, noise.layer), alone)
                costs.append(_cost(modality, noise, judge, alone))
    protocol = judge.exact.accuracy.results[0].protocol
    with atomic_folder(out, overwrite=True, marker=MARKER) as folder:
        content = {"target": target.name, "protocol": protocol, "layers": [asdict(cost) for cost in costs]}
        (folder / MARKER).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        (folder / "sensitivity.md").write_text(_markdown(costs, target, protocol), encoding="utf-8")
        (folder / "sensitivity.svg").write_text(_plot(costs), encoding="utf-8")
    return costs


def _alone(made: Quantizer, layer: str) -> onnx.ModelProto:
    return made.quantized(given_back=[other for other in made.layers() if other != layer]).model


def _cost(modality: Modality, noise: LayerNoise, judge: Judge, graph: Path) -> LayerCost:
    after = judge.measure("one layer", "int8", {modality: graph}).accuracy.results
    points = [
        100 * (new - old)
        for one, before in zip(after, judge.exact.accuracy.results, strict=True)
        for new, old in ((one.rank1, before.rank1), (one.mean_ap, before.mean_ap))
    ]
    first, second, third, fourth = points
    return LayerCost(modality, noise.layer, noise.operator, noise.snr_db, noise.cosine, (first, second, third, fourth))


def _markdown(costs: Sequence[LayerCost], target: Target, protocol: str) -> str:
    """All layers, the costliest first."""
    lines = [
        f"# What each layer costs in 8 bits, target {target.name}",
        "",
        "One layer in 8 bits, all others in floating point. Cosine: of embeddings of calibration pictures with the "
        f"float ones. Points: gained or lost on the test people; {protocol}.",
        "",
        "| modality | layer | operator | SNR dB | 1 - cosine | rank-1 t→v | mAP t→v | rank-1 v→t | mAP v→t |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for cost in sorted(costs, key=lambda one: one.cosine):
        points = " | ".join(f"{point:+.2f}" for point in cost.points)
        lines.append(
            f"| {cost.modality} | `{cost.layer}` | {cost.operator} | {cost.snr_db:.1f} | {1 - cost.cosine:.2e} "
            f"| {points} |"
        )
    return "\n".join(lines) + "\n"


def _plot(costs: Sequence[LayerCost]) -> str:
    """Noise of the embedding, and signal-to-noise of the layer, along the network."""
    drawing, (above, below) = figure(10, 5.5, rows=2)
    for modality, color in zip(MODALITIES, (ACCENT, SOFT), strict=True):
        own = [cost for cost in costs if cost.modality == modality]
        places = range(len(own))
        above.plot(places, [max(1 - cost.cosine, 1e-9) for cost in own], "o-", color=color, ms=3, label=modality)
        below.plot(places, [cost.snr_db for cost in own], "o-", color=color, ms=3, label=modality)
    above.set_yscale("log")
    above.set_ylabel("1 - cosine of the embedding")
    below.set_ylabel("SNR of the layer, dB")
    below.set_xlabel("layer, from the input to the embedding")
    above.legend()
    return svg(drawing)
