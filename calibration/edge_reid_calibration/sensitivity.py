"""What each layer alone costs when it is rounded: which one to give back to floating point first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_reid_calibration.qdq import Graph
from edge_reid_calibration.quantize import Quantizer
from edge_reid_calibration.ranges import Chunks, outputs, session_with_outputs

CROPS = 32
"""Calibration crops that are compared: no labels, no test people."""


class LayerNoise(NamedTuple):
    """One layer in 8 bits, all others in floating point."""

    layer: str
    operator: str
    snr_db: float
    """Power of the layer's own result over that of its error."""
    cosine: float
    """Of the embeddings with the float ones, mean."""

    @property
    def noise(self) -> float:
        """What the layer adds to an embedding: the mean of 1 - cosine."""
        return 1 - self.cosine


def sensitivity(quantizer: Quantizer, tell: Callable[[int, int], None] | None = None) -> list[LayerNoise]:
    """Each layer of a graph, in the graph's order.

    Args:
        quantizer: of the graph.
        tell: called with the numbers of layers done and in all.
    """
    graph = Graph(quantizer.model.graph)
    nodes = {node.name: node for node in quantizer.model.graph.node}
    layers = quantizer.layers()
    results = {layer: graph.result(nodes[layer])[0] for layer in layers}
    embedding = quantizer.model.graph.output[0].name
    exact = session_with_outputs(quantizer.model, list(results.values()))
    pictures = list(_some(quantizer.chunks))
    measured = []
    for number, layer in enumerate(layers):
        alone = quantizer.quantized(given_back=[other for other in layers if other != layer]).model
        rounded = _rounded(alone, results[layer])
        approximate = session_with_outputs(alone, [rounded])
        signal = error = cosines = 0.0
        for crops in pictures:
            true, unit = outputs(exact, [results[layer], embedding], crops)
            made, turned = outputs(approximate, [rounded, embedding], crops)
            signal += float(np.square(true, dtype=np.float64).sum())
            error += float(np.square(true - made, dtype=np.float64).sum())
            cosines += float((unit * turned).sum())
        snr = float(10 * np.log10(max(signal, 1e-30) / max(error, 1e-30)))
        measured.append(LayerNoise(layer, nodes[layer].op_type, snr, cosines / sum(map(len, pictures))))
        if tell:
            tell(number + 1, len(layers))
    return measured


def _rounded(model: onnx.ModelProto, name: str) -> str:
    """The tensor that readers of `name` get: with its rounding where it has one."""
    made = {output for node in model.graph.node for output in node.output}
    return f"{name}_dequantized" if f"{name}_dequantized" in made else name


def _some(chunks: Chunks) -> Iterator[NDArray[np.uint8]]:
    seen = 0
    for crops in chunks():
        if seen >= CROPS:
            return
        yield crops
        seen += len(crops)
