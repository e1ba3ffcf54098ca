"""ncnn, the engine of phones and small boards, from what `edge-reid compile` made of a bundle's graph.

Crops go in as they are, as float numbers: colour order, normalisation and unit norm are inside the network.
"""

from __future__ import annotations

import time
from pathlib import Path

import ncnn
import numpy as np
from numpy.typing import NDArray

from edge_reid.bundle import Manifest, Precision
from edge_reid.engines.base import EngineFacts, NetworkEngine, check_shape, thread_count
from edge_reid.engines.compiled import Compiled, EngineRecord
from edge_reid.errors import UserError
from edge_reid.types import Modality

LAYERS, WEIGHTS = ".param", ".bin"

INPUT, OUTPUT = "in0", "out0"
"""The names that pnnx gives them."""


def open_engine(manifest: Manifest, file: Path, modality: Modality, precision: Precision, device: str) -> NetworkEngine:
    """Load the network that was compiled from a bundle's graph.

    Raises:
        UserError: the device is not a processor, the precision is not one of ncnn's here, or the network is missing,
            damaged or built from another graph.
    """
    if device != "cpu":
        raise UserError(f"device {device}: ncnn computes on the processor here; use cpu, or the onnxruntime backend")
    if precision == "int8":
        raise UserError("precision int8: ncnn networks are fp32 or fp16 here; choose one of them or another backend")
    began = time.perf_counter()
    compiled = Compiled(file, "ncnn", modality, precision)
    record = compiled.read(EngineRecord, LAYERS, WEIGHTS)
    taken = (int(record.options["height"]), int(record.options["width"]))
    check_shape(compiled.path(LAYERS), manifest, taken, int(record.options["embedding_dim"]))
    net = _network(compiled, record.version)

    def run(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        extractor = net.create_extractor()
        crop = crops[0].astype(np.float32)  # a name of its own: ncnn.Mat does not keep numpy's memory alive
        extractor.input(INPUT, ncnn.Mat(crop).clone())  # and ncnn works in place, in memory that must be its own
        code, embedding = extractor.extract(OUTPUT)
        if code != 0:
            raise RuntimeError(f"{compiled.path(LAYERS)}: ncnn ended with code {code}; build the engine again")
        return np.array(embedding, dtype=np.float32)[None]

    facts = EngineFacts.of(
        compiled.path(WEIGHTS),
        began,
        backend="ncnn",
        version=ncnn.__version__,
        precision=precision,
        device=device,
        threads=net.opt.num_threads,
    )
    return NetworkEngine(modality, manifest.embedding_dim, manifest.input_size, facts, run, max_batch=1)


def _network(compiled: Compiled, pnnx: str) -> ncnn.Net:
    net = ncnn.Net()
    net.opt.num_threads = thread_count()
    # Left to itself it stores and computes in 16 bits wherever the processor can: another precision than asked for.
    # fp16 means weights and values of 16 bits; what is computed of them has 32.
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = compiled.precision == "fp16"
    net.opt.use_fp16_arithmetic = False
    for suffix, load in ((LAYERS, net.load_param), (WEIGHTS, net.load_model)):
        if load(str(compiled.path(suffix))) != 0:
            raise UserError(
                f"{compiled.path(suffix)}: ncnn {ncnn.__version__} cannot read what pnnx {pnnx} wrote; pip install "
                "--upgrade ncnn, or build it again with an older pnnx"
            )
    return net
