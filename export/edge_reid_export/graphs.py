"""The graphs that a target wants of a checkpoint: FP16, INT8 or both, each measured."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from edge_reid_calibration import Calibration, Quantizer, load_chunks
from numpy.typing import NDArray

from edge_reid.bundle import BundleFile, Layers, Precision, describe
from edge_reid.data.folder import FolderDataset
from edge_reid.engines.agreement import made_up_crops
from edge_reid.preprocess import read_crop
from edge_reid.training.checkpoint import LoadedModel
from edge_reid.types import MODALITIES, Modality, Sample
from edge_reid_export.accuracy import Judge, Measured
from edge_reid_export.fold import FoldedBranch
from edge_reid_export.fold_block import Streams
from edge_reid_export.give_back import Int8Graphs, settle
from edge_reid_export.half import halved
from edge_reid_export.onnx_graph import write_graph
from edge_reid_export.parity import check_parity
from edge_reid_export.targets import Target

EXACT_STREAMS: Streams = "apart"
"""Of a bundle's FP32 graphs."""

FINETUNE_BATCH = 16
"""Crops of a step of fine-tuning."""


class Source(NamedTuple):
    """The network that graphs are made from."""

    loaded: LoadedModel
    sha256: str

    def write(self, path: Path, modality: Modality, streams: Streams) -> None:
        """Write a modality's float graph.

        Raises:
            CheckFailed: it computes something else than PyTorch.
        """
        loaded = self.loaded
        metadata = {"recipe": loaded.recipe, "modality": modality, "size": f"{loaded.size[0]}x{loaded.size[1]}"}
        metadata |= {"checkpoint_sha256": self.sha256, "crops": "uint8, BGR or grey, 0..255; nothing to normalise"}
        branch = loaded.model.branch(modality)
        crops = made_up_crops(modality, loaded.size)
        write_graph(FoldedBranch(branch, modality, loaded.size, streams), torch.from_numpy(crops[:2]), path, metadata)
        check_parity(branch, path, crops)


class Pictures(NamedTuple):
    """What INT8 learns its numbers from."""

    dataset: FolderDataset | None
    pools: Mapping[Modality, list[Sample]]
    """The pictures that calibrate; empty where no INT8 is wanted."""
    how: Calibration


class Written(NamedTuple):
    """What a target got."""

    target: str
    files: list[BundleFile]
    measured: list[Measured]
    layers: dict[Modality, Layers]
    """Of the INT8 graphs."""


def write_target(
    folder: Path,
    source: Source,
    exact: Mapping[Modality, Path],
    target: Target,
    pictures: Pictures,
    judge: Judge | None,
    tell: Callable[[str], None],
) -> Written:
    """Write a target's graphs into a folder and measure them; `exact` are the float ones with `EXACT_STREAMS`."""
    done = Written(target.name, [], [], {})
    if not (target.float16 or pictures.pools):
        return done
    models = _arranged(source, exact, target, tell)
    if target.float16:
        paths = {modality: folder / target.file(modality, "fp16") for modality in MODALITIES}
        for modality, path in paths.items():
            onnx.save(halved(models[modality], target.float32), path)
        done.files.extend(_described(paths, target, "fp16"))
        if judge:
            done.measured.append(judge.measure(target.name, "fp16", paths))
    if pictures.pools and judge:
        size = source.loaded.size
        quantizers = {m: quantizer(model, target, pictures, m, size, tell) for m, model in models.items()}
        tell(f"{target.name}: INT8")
        graphs = Int8Graphs(folder, target, quantizers)
        measured, layers = settle(graphs, judge, tell)
        done.files.extend(_described(graphs.paths, target, "int8"))
        done.measured.append(measured)
        done.layers.update(layers)
    return done


def _arranged(
    source: Source, exact: Mapping[Modality, Path], target: Target, tell: Callable[[str], None]
) -> dict[Modality, onnx.ModelProto]:
    """The float graphs as a target wants their streams."""
    if target.streams == EXACT_STREAMS:  # PyTorch takes seconds to write a graph, and these would come out the same
        return {modality: onnx.load(path) for modality, path in exact.items()}
    with tempfile.TemporaryDirectory() as scratch:
        arranged = {modality: Path(scratch) / f"{modality}.onnx" for modality in MODALITIES}
        for modality, path in arranged.items():
            tell(f"{target.name}: {modality} graph")
            source.write(path, modality, target.streams)
        return {modality: onnx.load(path) for modality, path in arranged.items()}


def quantizer(
    model: onnx.ModelProto,
    target: Target,
    pictures: Pictures,
    modality: Modality,
    size: tuple[int, int],
    tell: Callable[[str], None],
) -> Quantizer:
    """Prepare a float graph for 8 bits; with fine-tuning, in minutes."""
    how = pictures.how
    chunks = partial(load_chunks, pictures.pools[modality], size)
    made = Quantizer(model, chunks, target.int8, how)
    if not (how.finetune and pictures.dataset):
        return made
    from edge_reid_calibration.finetune import finetuned

    training = [sample for sample in pictures.dataset.train() if sample.modality == modality]
    return finetuned(made, _batches(training, size), steps=how.finetune, tell=partial(_tell_step, tell, modality))


def _batches(samples: list[Sample], size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Crops of pictures drawn at random, without end."""
    random = np.random.default_rng(0)
    while True:
        drawn = random.integers(0, len(samples), FINETUNE_BATCH)
        yield np.stack([read_crop(samples[number].path, samples[number].modality, size) for number in drawn])


def _tell_step(tell: Callable[[str], None], modality: Modality, step: int, distance: float) -> None:
    if step % 50 == 0:
        tell(f"{modality}: {step} steps of fine-tuning, 1 - cosine {distance:.5f}")


def _described(paths: Mapping[Modality, Path], target: Target, precision: Precision) -> list[BundleFile]:
    return [describe(path, modality, target.backend, precision) for modality, path in paths.items()]
