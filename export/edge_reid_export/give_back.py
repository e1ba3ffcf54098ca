"""INT8 graphs of both modalities for one target, and which of their layers have to stay floating point."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import onnx
from edge_reid_calibration import Quantizer
from edge_reid_calibration.sensitivity import sensitivity

from edge_reid.bundle import Layers
from edge_reid.types import MODALITIES, Modality
from edge_reid_export.accuracy import Judge, Measured
from edge_reid_export.half import halved
from edge_reid_export.latency import milliseconds
from edge_reid_export.targets import Target

GivenBack = Mapping[Modality, list[str]]


class Int8Graphs:
    """The INT8 files of a target."""

    def __init__(self, folder: Path, target: Target, quantizers: Mapping[Modality, Quantizer]) -> None:
        self.folder, self.target, self.quantizers = folder, target, quantizers
        self.paths = {modality: folder / target.file(modality, "int8") for modality in MODALITIES}
        self.rounded: dict[Modality, int] = {}

    def write(self, given_back: GivenBack) -> None:
        """Write the files, or replace them by ones whose layers of these names are floating point."""
        for modality, path in self.paths.items():
            model, self.rounded[modality] = self.quantizers[modality].quantized(given_back.get(modality, []))
            onnx.save(halved(model, self.target.float32) if self.target.float16 else model, path)

    def layers(self, given_back: GivenBack, cost: Mapping[Modality, tuple[float, float]]) -> dict[Modality, Layers]:
        """The facts for the manifest."""
        return {
            modality: Layers(
                convolutions=sum(node.op_type == "Conv" for node in self.quantizers[modality].model.graph.node),
                rounded=self.rounded[modality],
                given_back=given_back.get(modality, []),
                milliseconds=cost.get(modality),
            )
            for modality in MODALITIES
        }


def settle(graphs: Int8Graphs, judge: Judge, tell: Callable[[str], None]) -> tuple[Measured, dict[Modality, Layers]]:
    """Write INT8 graphs that pass the gate, with as few layers given back to floating point as it takes.

    Worst first: the layer whose rounding alone changes the embeddings of calibration pictures most, whichever modality
    it belongs to. The test people only say when it is enough. At most half of the layers are given back, and none where
    the gate is forced.
    """
    graphs.write({})
    measured = judge.measure(graphs.target.name, "int8", graphs.paths)
    if not measured.short or judge.gate.force:
        return measured, graphs.layers({}, {})
    tell(f"{'; '.join(measured.short)}: giving layers back to floating point")
    worst = _worst_first(graphs.quantizers, tell)
    before = milliseconds(graphs.paths)
    given_back: dict[Modality, list[str]] = {}
    count = 0
    while measured.short and count < len(worst) // 2:
        count = min(count + 1 + count // 3, len(worst) // 2)  # 1, 2, 3, 5, 7, 10, 14, ...
        given_back = {m: [layer for modality, layer in worst[:count] if modality == m] for m in MODALITIES}
        graphs.write(given_back)
        measured = judge.measure(graphs.target.name, "int8", graphs.paths)
    after = milliseconds(graphs.paths)
    cost = {modality: (before[modality], after[modality]) for modality in MODALITIES}
    for modality, layers in given_back.items():
        price = f"{before[modality]:.2f} -> {after[modality]:.2f} ms a crop"
        tell(f"{modality}: {len(layers)} layers stay floating point, {price}: {', '.join(layers) or 'none'}")
    return measured, graphs.layers(given_back, cost)


def _worst_first(quantizers: Mapping[Modality, Quantizer], tell: Callable[[str], None]) -> list[tuple[Modality, str]]:
    found = []
    for modality, quantizer in quantizers.items():
        tell(f"{modality}: what each layer alone costs")
        found += [(one.noise, modality, one.layer) for one in sensitivity(quantizer)]
    return [(modality, layer) for _, modality, layer in sorted(found, reverse=True)]
