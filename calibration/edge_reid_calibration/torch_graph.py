"""A float ONNX graph as a module whose convolutions can be trained while their rounding is played.

What is tuned is the very graph that is then quantised, for any target: merged, dense, signed or not. A few operators
are enough, those that `edge_reid_export.fold` leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import onnx
import torch
import torch.nn.functional as F
from onnx import NodeProto, numpy_helper
from torch import Tensor, nn

from edge_reid.errors import UserError
from edge_reid_calibration.qdq import Placed, weight_scales
from edge_reid_calibration.scheme import Scheme

Attributes = Mapping[str, Any]


class TorchGraph(nn.Module):
    """uint8 crops `-> (B, D)`, as the graph computes it."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """Take a graph over; weights and biases of its convolutions become parameters.

        Raises:
            UserError: it has an operator that is not known here.
        """
        super().__init__()
        self.nodes = list(model.graph.node)
        if unknown := {node.op_type for node in self.nodes} - _OPERATORS.keys():
            raise UserError(f"--qat: the graph has {sorted(unknown)[0]}, which cannot be tuned; leave --qat out")
        self.source, self.result = model.graph.input[0].name, model.graph.output[0].name
        self.attributes = {
            id(node): {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute} for node in self.nodes
        }
        tuned = {name for node in self.nodes if node.op_type == "Conv" for name in node.input[1:]}
        self.numbers = {tensor.name: number for number, tensor in enumerate(model.graph.initializer)}
        for tensor in model.graph.initializer:
            values = torch.from_numpy(numpy_helper.to_array(tensor).copy())
            key = f"tensor{self.numbers[tensor.name]}"
            if tensor.name in tuned:
                self.register_parameter(key, nn.Parameter(values))
            else:
                self.register_buffer(key, values)
        self.rounding: Rounding | None = None
        """Plays 8 bits where it is set."""

    def stored(self, name: str) -> Tensor:
        """A weight or another constant of the graph."""
        value: Tensor = getattr(self, f"tensor{self.numbers[name]}")
        return value

    def forward(self, crops: Tensor) -> Tensor:
        values: dict[str, Tensor] = {self.source: crops}
        for node in self.nodes:
            inputs = [self._read(node, place, values) for place in range(len(node.input))]
            made = _OPERATORS[node.op_type](inputs, self.attributes[id(node)])
            values |= zip(node.output, made if isinstance(made, tuple) else (made,), strict=True)
        return values[self.result]

    def _read(self, node: NodeProto, place: int, values: Mapping[str, Tensor]) -> Tensor | None:
        name = node.input[place]
        if not name:
            return None
        if name not in self.numbers:
            value = values[name]
            return self.rounding.of_activation(value, node, place) if self.rounding else value
        value = self.stored(name)
        return self.rounding.of_weights(value, node) if self.rounding and place == 1 else value

    def tuned(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """A copy of the graph that was taken over, with the parameters of now."""
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        for tensor in copy.graph.initializer:
            value = self.stored(tensor.name)
            if isinstance(value, nn.Parameter):
                tensor.CopyFrom(numpy_helper.from_array(value.detach().numpy(), tensor.name))
        return copy


class Rounding:
    """Rounds as a quantised graph does and lets gradients through (straight-through, zero where it clips)."""

    def __init__(self, placed: Placed, scales: Mapping[str, tuple[float, int]], scheme: Scheme) -> None:
        self.scheme, self.scales = scheme, scales
        self.low, self.high = (0, 255) if scheme.activations == "unsigned" else (-128, 127)
        self.convolutions = {node.name for node in placed.nodes if node.op_type == "Conv"}
        self.readers = {place: name for name, places in placed.readers.items() for place in places}

    def of_activation(self, value: Tensor, node: NodeProto, place: int) -> Tensor:
        """What a node reads at one of its inputs."""
        name = self.readers.get((node.name, place))
        if name is None:
            return value
        return torch.fake_quantize_per_tensor_affine(value, *self.scales[name], self.low, self.high)

    def of_weights(self, value: Tensor, node: NodeProto) -> Tensor:
        """The weights that a convolution uses."""
        if node.name not in self.convolutions:
            return value
        scales = torch.from_numpy(weight_scales(value.detach().numpy(), self.scheme))
        most = 2 ** (self.scheme.weight_bits - 1) - 1
        zeros = torch.zeros(len(scales), dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(value, scales, zeros, 0, -most, most)


def _convolution(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    axes = inputs[1].dim() - 2
    pads = tuple(attributes.get("pads", (0, 0) * axes))
    if pads[:axes] != pads[axes:]:
        raise UserError(
            "--qat: the graph has a convolution with uneven padding, which cannot be tuned; leave --qat out"
        )
    made: Tensor = (F.conv1d, F.conv2d)[axes - 1](
        inputs[0], inputs[1], inputs[2] if len(inputs) > 2 else None,
        stride=tuple(attributes.get("strides", (1,) * axes)), padding=pads[:axes],
        dilation=tuple(attributes.get("dilations", (1,) * axes)), groups=int(attributes.get("group", 1)),
    )  # fmt: skip
    return made


def _pool(pooling: Callable[..., Tensor], inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    kernel = attributes["kernel_shape"]
    return pooling(inputs[0], kernel, attributes.get("strides", (1, 1)), attributes.get("pads", (0, 0))[:2])


def _axes(inputs: Sequence[Any], attributes: Attributes) -> list[int]:
    axes: list[int] = inputs[1].tolist() if len(inputs) > 1 else list(attributes["axes"])
    return axes


def _slice(inputs: Sequence[Any], _: Attributes) -> Tensor:
    value, starts, ends = inputs[0], inputs[1].tolist(), inputs[2].tolist()
    axes = inputs[3].tolist() if len(inputs) > 3 else range(len(starts))
    steps = inputs[4].tolist() if len(inputs) > 4 else [1] * len(starts)
    parts = [slice(None)] * value.dim()
    for axis, *bounds in zip(axes, starts, ends, steps, strict=True):
        parts[axis] = slice(*bounds)
    sliced: Tensor = value[tuple(parts)]
    return sliced


def _pad(inputs: Sequence[Any], _: Attributes) -> Tensor:
    befores, afters = inputs[1].reshape(2, -1).tolist()
    pads = [number for pair in zip(reversed(befores), reversed(afters), strict=True) for number in pair]
    return F.pad(inputs[0], pads, value=float(inputs[2]) if len(inputs) > 2 and inputs[2] is not None else 0.0)


def _split(inputs: Sequence[Any], attributes: Attributes) -> tuple[Tensor, ...]:
    axis = attributes.get("axis", 0)
    if len(inputs) > 1:
        return inputs[0].split(inputs[1].tolist(), dim=axis)  # type: ignore[no-any-return]
    return inputs[0].chunk(attributes["num_outputs"], dim=axis)  # type: ignore[no-any-return]


def _reshape(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    value, shape = inputs
    kept = [value.shape[place] if size == 0 else size for place, size in enumerate(shape.tolist())]
    made: Tensor = value.reshape(kept)
    return made


def _squeeze(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    made: Tensor = inputs[0].squeeze(tuple(_axes(inputs, attributes)))
    return made


def _unsqueeze(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    value: Tensor = inputs[0]
    for axis in sorted(_axes(inputs, attributes)):
        value = value.unsqueeze(axis)
    return value


def _gemm(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    first = inputs[0].T if attributes.get("transA") else inputs[0]
    second = inputs[1].T if attributes.get("transB") else inputs[1]
    product: Tensor = attributes.get("alpha", 1.0) * (first @ second)
    return product + attributes.get("beta", 1.0) * inputs[2] if len(inputs) > 2 else product


def _reduce(function: Callable[..., Tensor], inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    return function(inputs[0], dim=_axes(inputs, attributes), keepdim=bool(attributes.get("keepdims", 1)))


_OPERATORS: dict[str, Callable[[Sequence[Any], Attributes], Tensor | tuple[Tensor, ...]]] = {
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "AveragePool": partial(_pool, F.avg_pool2d),
    "Cast": lambda inputs, attributes: inputs[0].to(_TYPES[attributes["to"]]),
    "Clip": lambda inputs, _: inputs[0].clamp(*inputs[1:]),
    "Concat": lambda inputs, attributes: torch.cat(tuple(inputs), dim=attributes["axis"]),
    "Conv": _convolution,
    "Div": lambda inputs, _: inputs[0] / inputs[1],
    "Gemm": _gemm,
    "Greater": lambda inputs, _: inputs[0] > inputs[1],
    "GlobalAveragePool": lambda inputs, _: inputs[0].mean((2, 3), keepdim=True),
    "MatMul": lambda inputs, _: inputs[0] @ inputs[1],
    "MaxPool": partial(_pool, F.max_pool2d),
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
    "Pad": _pad,
    "Pow": lambda inputs, _: inputs[0] ** inputs[1],
    "ReduceL2": partial(_reduce, torch.linalg.vector_norm),
    "ReduceMax": partial(_reduce, torch.amax),
    "ReduceMean": partial(_reduce, torch.mean),
    "ReduceSum": partial(_reduce, torch.sum),
    "Relu": lambda inputs, _: F.relu(inputs[0]),
    "Reshape": _reshape,
    "Sigmoid": lambda inputs, _: torch.sigmoid(inputs[0]),
    "Slice": _slice,
    "Softmax": lambda inputs, attributes: inputs[0].softmax(attributes.get("axis", -1)),
    "Split": _split,
    "Sqrt": lambda inputs, _: inputs[0].sqrt(),
    "Squeeze": _squeeze,
    "Sub": lambda inputs, _: inputs[0] - inputs[1],
    "Transpose": lambda inputs, attributes: inputs[0].permute(attributes["perm"]),
    "Unsqueeze": _unsqueeze,
}

_TYPES: dict[int, torch.dtype] = {onnx.TensorProto.FLOAT: torch.float32, onnx.TensorProto.INT64: torch.int64}
