"""ncnn networks, by pnnx from a bundle's FP32 graph. They run on any processor that ncnn runs on."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from edge_reid.engines.compiled import Compiled
from edge_reid.engines.ncnn_engine import LAYERS, WEIGHTS
from edge_reid.errors import CheckFailed, UserError
from edge_reid.files import atomic_file
from edge_reid_export.compile import Built, Wish
from edge_reid_export.process import last_line, run_apart


def build(job: Compiled, wish: Wish) -> Built:
    """Write the network.

    Raises:
        UserError: pnnx is not installed.
        CheckFailed: pnnx wrote no network.
    """
    pnnx = _pnnx()
    model = for_one_crop(onnx.load(job.source))
    with tempfile.TemporaryDirectory() as scratch:
        onnx.save(model, Path(scratch) / "graph.onnx")
        half = int(job.precision == "fp16")
        code, said, errors = run_apart([pnnx, "graph.onnx", f"fp16={half}"], cwd=Path(scratch))
        for suffix in (LAYERS, WEIGHTS):
            made = Path(scratch) / f"graph.ncnn{suffix}"
            if code or not made.is_file():
                raise CheckFailed(
                    f"{job.source}: pnnx wrote no network (exit code {code}): {last_line(errors or said)}"
                )
            with atomic_file(job.path(suffix)) as temporary:
                shutil.copyfile(made, temporary)
    height, width = (axis.dim_value for axis in model.graph.input[0].type.tensor_type.shape.dim[1:3])
    embedding_dim = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    options: dict[str, str | int] = {"height": height, "width": width, "embedding_dim": embedding_dim}
    return Built([job.path(LAYERS), job.path(WEIGHTS)], importlib.metadata.version("pnnx"), options=options)


def for_one_crop(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph as pnnx wants it, with the same numbers: one crop, of floats, and no reduction over a single axis.

    ncnn has no axis for the batch and no type but float, so the cast of the crops goes to whom they come from. And pnnx
    (20261020) leaves out the axis of a reduction that has a single one, for it looks for a list: the batch's own axis
    joins, which is 1 long.
    """
    graph = model.graph
    taken, given = graph.input[0], graph.output[0]
    shape = [1, *(axis.dim_value for axis in taken.type.tensor_type.shape.dim[1:])]
    taken.CopyFrom(helper.make_tensor_value_info(taken.name, TensorProto.FLOAT, shape))
    given.type.tensor_type.shape.dim[0].dim_value = 1
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    names: dict[str, str] = {}
    nodes: list[NodeProto] = []
    for node in graph.node:
        for number, name in enumerate(node.input):
            node.input[number] = names.get(name, name)
        if node.op_type == "Cast" and {entry.name: entry.i for entry in node.attribute}["to"] == TensorProto.FLOAT:
            names[node.output[0]] = node.input[0]
        elif node.op_type.startswith("Reduce") and len(node.input) == 2 and stored[node.input[1]].size == 1:
            nodes += _with_batch_axis(graph, node, int(stored[node.input[1]].reshape(-1)[0]))
        else:
            nodes.append(node)
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    return model


def _with_batch_axis(graph: onnx.GraphProto, node: NodeProto, axis: int) -> list[NodeProto]:
    """A reduction over the batch of 1, too, and then the node that takes away the axis if it was not to be kept."""
    result = node.output[0]

    def constant(name: str, values: list[int]) -> str:
        graph.initializer.append(numpy_helper.from_array(np.array(values, dtype=np.int64), f"{result}_{name}"))
        return f"{result}_{name}"

    keeps = next((entry for entry in node.attribute if entry.name == "keepdims"), None)
    node.input[1] = constant("axes", [0, axis])
    if keeps is None or keeps.i:
        return [node]
    keeps.i = 1
    node.output[0] = f"{result}_kept"
    return [
        node,
        helper.make_node("Squeeze", [node.output[0], constant("gone", [axis])], [result], name=f"{node.name}_s"),
    ]


def _pnnx() -> Path:
    """The program; its Python wrapper would import torch."""
    package = importlib.util.find_spec("pnnx")
    for folder in package.submodule_search_locations or [] if package else []:
        for name in ("pnnx", "pnnx.exe"):
            if (Path(folder) / name).is_file():
                return Path(folder) / name
    raise UserError("pnnx is not installed; pip install 'edge-reid[export]'")
