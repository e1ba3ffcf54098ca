"""Writes a branch as an ONNX graph: uint8 crops in, unit-norm embeddings out, any batch.

The graph comes from PyTorch's dynamo exporter. The older TorchScript exporter traces integers of shapes into the graph,
where their division rounds differently: the embedding head's stripes came out one row off.
"""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

OPSET = 18

INPUT, OUTPUT = "crops", "embeddings"


def write_graph(network: nn.Module, crops: torch.Tensor, path: Path, metadata: dict[str, str]) -> None:
    """Export `network` at `path`.

    Args:
        network: maps uint8 crops to embeddings.
        crops: an example of two or more; its first dimension becomes "batch".
        path: the .onnx file, weights inside.
        metadata: stored in the file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        program = torch.onnx.export(
            network,
            (crops,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError(f"{path}: PyTorch exported nothing; it needs torch 2.6 or newer")
    model = tidied(program.model_proto)
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def tidied(model: onnx.ModelProto) -> onnx.ModelProto:
    """Nodes named after their module, nothing unused, and global means as GlobalAveragePool.

    onnxruntime has GlobalAveragePool in its blocked float layout and in 8 bits, ReduceMean in neither.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for number, node in enumerate(model.graph.node):
        scopes = {entry.key: entry.value for entry in node.metadata_props}.get(_SCOPES, "['']")
        node.name = f"{(ast.literal_eval(scopes)[:-1] or [''])[-1]}/{node.op_type}_{number}"
        del node.metadata_props[:]
        node.doc_string = ""
        keeps = all(attribute.i for attribute in node.attribute if attribute.name == "keepdims")
        if node.op_type == "ReduceMean" and keeps and _is_spatial(onnx.numpy_helper.to_array(constants[node.input[1]])):
            node.op_type = "GlobalAveragePool"
            del node.input[1:]
            del node.attribute[:]
    used = {name for node in model.graph.node for name in node.input}
    stored = [tensor for tensor in model.graph.initializer if tensor.name in used]
    graph = model.graph
    model.graph.CopyFrom(onnx.helper.make_graph(graph.node, "edge-reid", graph.input, graph.output, stored))
    return model


_SCOPES = "pkg.torch.onnx.name_scopes"


def _is_spatial(axes: NDArray[np.int64]) -> bool:
    return sorted(axes.reshape(-1) % 4) == [2, 3]
