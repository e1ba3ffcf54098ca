"""Broken graphs and specifications of detectors, tried one after the other: prints what became of each kind.

Usage: python fuzz_detectors.py FOLDER. A process of its own, for a crash or a hang of the runtime would be one of the
tests' own otherwise. Exits with the traceback of the first answer that is neither a detector nor one line.
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import network_graphs as graphs
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_reid.errors import UserError
from edge_reid.people.detection import load_detector
from edge_reid.people.networks.families import FAMILIES

KNOWN = (graphs.offsets, graphs.turned, graphs.listed, graphs.with_scores, graphs.with_count, graphs.with_logits)
NAMES = ("output", "labels", "boxes", "scores", "dets", "num_dets", "det_boxes", "det_scores", "det_classes")
TYPES = (np.float32, np.float32, np.float32, np.int64, np.float64, np.bool_, np.float16, np.int8)
VALUES = (0.0, 0.5, 1.0, -1.0, 1e30, float("nan"), float("inf"))
OPERATORS = ("Relu", "Exp", "Reshape", "Transpose", "NonZero", "Squeeze", "Nope", "Conv", "TopK", "Shape", "Identity")


def outputs(chance: random.Random) -> graphs.Outputs:
    """Arrays of any shape, type and value under the names that families use."""
    made: graphs.Outputs = {}
    for name in chance.sample(NAMES, chance.randint(1, 4)):
        shape = [chance.choice((0, 1, 1, 2, 4, 5, 6, 9, 84, 85, 126, 300)) for _ in range(chance.randint(0, 4))]
        while math.prod(shape) > 50_000:
            shape.pop()
        array: NDArray[np.generic] = np.full(shape, chance.choice(VALUES))
        if chance.random() < 0.5:
            array = np.random.default_rng(chance.randint(0, 999)).normal(0, 30, shape)
        with np.errstate(invalid="ignore", over="ignore"):
            made[name] = array.astype(chance.choice(TYPES))
    return made


def odd_graph(chance: random.Random, path: Path) -> None:
    """A few operators that need not fit together, on inputs that need not be pictures."""
    kind = chance.choice((TensorProto.FLOAT, TensorProto.STRING, TensorProto.INT64, TensorProto.FLOAT16))
    shape = [chance.choice((0, 1, 3, 32, 64, "n", 5000)) for _ in range(chance.randint(0, 5))]
    nodes, last = [], "images"
    for index in range(chance.randint(0, 4)):
        extra = ["constant"] if chance.random() < 0.5 else []
        nodes.append(helper.make_node(chance.choice(OPERATORS), [last, *extra], [f"value{index}"]))
        last = f"value{index}"
    inputs = [helper.make_tensor_value_info("images", kind, shape)] * chance.choice((1, 1, 1, 0, 2))
    given = [helper.make_tensor_value_info(last, chance.choice((TensorProto.FLOAT, TensorProto.STRING)), None)]
    constant = numpy_helper.from_array(np.array([chance.randint(-3, 10**9)], np.int64), "constant")
    graph = helper.make_graph(nodes, "odd", inputs, given, [constant])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def twisted_graph(chance: random.Random, path: Path) -> None:
    """A graph of a family with other outputs, input or metadata."""
    graph = chance.choice(KNOWN)()
    change = chance.randint(0, 3)
    if change == 0:
        graph = replace(graph, outputs=outputs(chance), told_size=chance.random() < 0.3)
    elif change == 1:
        shape: graphs.Shape = [chance.choice((0, 1, 3, 64, "n")) for _ in range(chance.randint(1, 5))]
        graph = replace(graph, shape=shape, kind=chance.choice((1, 7, 8, 9, 10, 11)))
    elif change == 2:
        junk = chance.choice(("{", "[[[[" * 40, "{0: 'person'", "{'a': 1}", "[1, 2", "None", "{0: {}}", "7", "\\x00"))
        graph = replace(graph, metadata={"names": junk, "imgsz": junk}, shape=["b", 3, "h", "w"])
    else:
        twisted = {name: np.roll(array, chance.randint(1, 9), -1) for name, array in graph.outputs.items()}
        graph = replace(graph, outputs=twisted)
    graph.write(path)


def broken_file(chance: random.Random, path: Path) -> None:
    """A graph cut short, with bytes changed, or no graph at all."""
    content = bytearray(graphs.turned().write(path).read_bytes())
    change = chance.randint(0, 2)
    if change == 0:
        content = content[: chance.randint(0, len(content))]
    elif change == 1:
        for _ in range(chance.randint(1, 30)):
            content[chance.randint(0, 400)] = chance.randint(0, 255)
    else:
        content = bytearray(chance.randbytes(chance.randint(0, 3000)))
    path.write_bytes(content)


def spec(chance: random.Random, file: Path) -> str:
    """A specification that may be right."""
    name = chance.choice(("motion", "hog", "hot", f"onnx:{file}", "onnx:", "onnx", "?", "", "motion:", "onnx:/", "a b"))
    keys = ("every", "family", "class", "score", "size", "person", "", "every ", "model_config")
    values = ("1", "0", "-1", "1e9", "two", "", "0.5", "64", "64x96", "96x64", "x", "99999", "\u0661", *FAMILIES)
    words = [f"{chance.choice(keys)}={chance.choice(values)}" for _ in range(chance.randint(0, 3))]
    return f"{name}?{chance.choice(('&', '&', '?', ';')).join(words)}" if words else name


def attempt(text: str) -> str:
    """Load and use a detector: `works`, or `refused` in one line."""
    try:
        detector = load_detector(text, "thermal")
        for frame in (np.zeros((48, 64), np.uint8), np.full((90, 30), 200, np.uint8)):
            found = detector.detect(frame)
            sound = np.isfinite(found.boxes).all() and np.all((found.scores >= 0) & (found.scores <= 1))
            if not sound or found.boxes.shape != (len(found.scores), 4):
                raise AssertionError(f"{text}: unsound detections {found}")
    except UserError as error:
        if "\n" in str(error) or not 20 < len(str(error)) < 1000:
            raise AssertionError(f"{text}: not one line: {error}") from error
        return "refused"
    return "works"


def main(folder: Path) -> None:
    chance, counts = random.Random(5), Counter[str]()
    file = folder / "fuzz.onnx"
    for make in (odd_graph, twisted_graph, broken_file):
        for _ in range(60):
            make(chance, file)
            counts[f"{make.__name__} {attempt(f'onnx:{file}')}"] += 1
    graphs.turned().write(file)
    for _ in range(120):
        counts[f"spec {attempt(spec(chance, file))}"] += 1
    print(json.dumps(counts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
