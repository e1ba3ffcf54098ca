"""From a checkpoint to a bundle."""

from __future__ import annotations

import importlib.metadata
import platform
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import onnx
import torch
from edge_reid_calibration import Quantization, choose, fingerprint, load_chunks, quantize

from edge_reid.bundle import (
    MANIFEST,
    Accuracy,
    Bundle,
    BundleFile,
    Calibration,
    Manifest,
    Precision,
    Provenance,
    describe,
    write_manifest,
)
from edge_reid.data.folder import FolderDataset
from edge_reid.errors import CheckFailed, UserError
from edge_reid.files import atomic_folder, refuse_existing, sha256
from edge_reid.training.checkpoint import LoadedModel, load_model, write_network
from edge_reid.types import MODALITIES, Modality, Sample
from edge_reid_export.accuracy import embed_test, match_threshold, results, shortfalls
from edge_reid_export.fold import FoldedBranch
from edge_reid_export.fold_block import Streams
from edge_reid_export.half import halved
from edge_reid_export.onnx_graph import write_graph
from edge_reid_export.parity import check_parity, noise_crops
from edge_reid_export.targets import Target, get

Tell = Callable[[str], None]

Quantized = dict[str, dict[Modality, Quantization]]
"""By target."""

_LIBRARIES = ("edge-reid", "numpy", "onnx", "onnxruntime", "onnxscript", "torch")


class Gate(NamedTuple):
    """What fewer bits may cost."""

    points: float = 1.0
    """Percentage points of rank-1 or mAP in either direction."""
    force: bool = False
    """Write the bundle even if they cost more, and mark it."""


def export(
    *,
    checkpoint: Path,
    out: Path,
    int8: bool = False,
    targets: Sequence[Target] = (),
    calibration: Path | None = None,
    gate: Gate | None = None,
    overwrite: bool = False,
    tell: Tell = lambda line: None,
) -> Manifest:
    """Write a bundle: ONNX graphs per modality, precision and target, and the weights they come from.

    Args:
        checkpoint: a model.safetensors or last.pt.
        out: the bundle's folder.
        int8: also write INT8 graphs, one per target.
        targets: kinds of devices that graphs of less than 32 bits are for, see `edge_reid_export.targets`; x86-vnni
            when there is none. The first one's embeddings choose the match threshold.
        calibration: data folder: its training pictures calibrate INT8, its test pictures measure the accuracy.
        gate: what fewer bits may cost, a point when None.
        overwrite: replace an existing bundle.
        tell: called with a line when a stage begins.

    Returns:
        The manifest that was written.

    Raises:
        UserError: an input is missing or malformed, or `out` exists.
        CheckFailed: a graph differs from PyTorch, or fewer bits cost too much; nothing is written then.
    """
    refuse_existing(out, overwrite=overwrite, marker=MANIFEST)
    if int8 and calibration is None:
        raise UserError("--int8: INT8 takes its ranges from pictures; pass --calibration with a data folder")
    loaded = load_model(checkpoint)
    dataset = FolderDataset(calibration) if calibration else None
    pools = _pools(dataset) if dataset and int8 else {}
    targets = targets or [get("x86-vnni")]
    with atomic_folder(out, overwrite=overwrite, marker=MANIFEST) as folder:
        files, quantized = _write_graphs(folder, loaded, sha256(checkpoint), targets, pools, tell)
        files.append(_write_weights(folder, checkpoint))
        manifest = Manifest(
            recipe=loaded.recipe,
            config=loaded.config,
            input_size=loaded.size,
            embedding_dim=loaded.embedding_dim,
            files=files,
            accuracy=[],
            match_threshold=None,
            match_rates=None,
            gate_passed=None,
            forced=False,
            provenance=_provenance(checkpoint, loaded, dataset, pools, quantized),
        )
        write_manifest(folder, manifest)
        if dataset:
            tell("accuracy")
            manifest = _measured(Bundle(folder, manifest), dataset, targets, gate or Gate())
            write_manifest(folder, manifest)
    return manifest


def _pools(dataset: FolderDataset) -> dict[Modality, list[Sample]]:
    """The pictures that calibrate, of training people."""
    training = dataset.train()
    return {modality: choose(training, modality) for modality in MODALITIES} if training else {}


def _write_graphs(
    folder: Path,
    loaded: LoadedModel,
    source: str,
    targets: Sequence[Target],
    pools: dict[Modality, list[Sample]],
    tell: Tell,
) -> tuple[list[BundleFile], Quantized]:
    """FP32 for both modalities, and for each target FP16 where it wants it and INT8 where there are pictures for it."""
    files: list[BundleFile] = []
    quantized: Quantized = {}
    for modality in MODALITIES:
        metadata = {"recipe": loaded.recipe, "modality": modality, "size": f"{loaded.size[0]}x{loaded.size[1]}"}
        metadata |= {"checkpoint_sha256": source, "crops": "uint8, BGR or grey, 0..255; nothing to normalise"}
        tell(f"{modality} FP32")
        path = folder / f"{modality}.fp32.onnx"
        _write_float(path, loaded, modality, metadata, "apart")
        files.append(describe(path, modality, "onnxruntime", "fp32"))
        for target in targets:
            pool = pools.get(modality, [])
            if pool or target.float16:
                tell(f"{modality} for {target.name}")
                written, made = _write_target(folder, loaded, modality, metadata, target, pool)
                files += written
                if made:
                    quantized.setdefault(target.name, {})[modality] = made
    return files, quantized


def _write_target(
    folder: Path,
    loaded: LoadedModel,
    modality: Modality,
    metadata: dict[str, str],
    target: Target,
    pool: list[Sample],
) -> tuple[list[BundleFile], Quantization | None]:
    """What a target wants of one modality: FP16, INT8 calibrated by the pictures of `pool`, or both."""
    paths: dict[Precision, Path] = {}
    made = None
    with tempfile.TemporaryDirectory() as scratch:
        arranged = Path(scratch) / "arranged.onnx"
        _write_float(arranged, loaded, modality, metadata, target.streams)
        if target.float16:
            paths["fp16"] = Path(shutil.copy(arranged, folder / target.file(modality, "fp16")))
        if pool:
            paths["int8"] = folder / target.file(modality, "int8")
            made = quantize(arranged, paths["int8"], lambda: load_chunks(pool, loaded.size), target.int8)
    if target.float16:
        for path in paths.values():
            onnx.save(halved(onnx.load(path), target.float32), path)
    return [describe(path, modality, target.backend, precision) for precision, path in paths.items()], made


def _write_float(
    path: Path, loaded: LoadedModel, modality: Modality, metadata: dict[str, str], streams: Streams
) -> None:
    branch = loaded.model.branch(modality)
    crops = noise_crops(modality, loaded.size)
    folded = FoldedBranch(branch, modality, loaded.size, streams)
    write_graph(folded, torch.from_numpy(crops[:2]), path, metadata)
    check_parity(branch, path, crops)


def _write_weights(folder: Path, checkpoint: Path) -> BundleFile:
    """The network's weights, for the PyTorch engine and for exporting again."""
    return describe(write_network(checkpoint, folder / "model.safetensors"), "both", "torch", "fp32")


def _measured(bundle: Bundle, dataset: FolderDataset, targets: Sequence[Target], gate: Gate) -> Manifest:
    """The manifest with accuracy, gate and match threshold."""
    name = f"{dataset.label}, test"
    embedded = embed_test(bundle, dataset, "onnxruntime", "fp32")
    measured = [Accuracy(target=None, precision="fp32", results=results(embedded, name))]
    threshold, rates = match_threshold(embedded, "fp32")
    short: list[str] = []
    int8 = False
    for target in targets:
        written = {file.precision for file in bundle.manifest.files if file.backend == target.backend}
        for precision in ("fp16", "int8"):
            if precision not in written:
                continue
            embedded = embed_test(bundle, dataset, target.backend, precision)
            measured.append(Accuracy(target=target.name, precision=precision, results=results(embedded, name)))
            lost = shortfalls(measured[0].results, measured[-1].results, gate.points)
            short += [f"{target.name} {precision}: {line}" for line in lost]
            if precision == "int8" and not int8:
                int8, (threshold, rates) = True, match_threshold(embedded, "int8")
    if short and not gate.force:
        raise CheckFailed(
            f"{'; '.join(short)}; the gate is {gate.points:g}. Nothing was written; train longer, calibrate "
            "with more pictures, or pass --force"
        )
    return bundle.manifest.model_copy(
        update={
            "accuracy": measured,
            "match_threshold": threshold,
            "match_rates": rates,
            "gate_passed": not short if len(measured) > 1 else None,
            "forced": bool(short),
        }
    )


def _provenance(
    checkpoint: Path,
    loaded: LoadedModel,
    dataset: FolderDataset | None,
    pools: dict[Modality, list[Sample]],
    quantized: Quantized,
) -> Provenance:
    calibration = None
    if dataset and quantized:
        samples = [sample for modality in MODALITIES for sample in pools[modality]]
        names = {m: [sample.path.relative_to(dataset.root).as_posix() for sample in pools[m]] for m in MODALITIES}
        counts = {
            target: {m: (one.quantized_convolutions, one.convolutions) for m, one in made.items()}
            for target, made in quantized.items()
        }
        method = next(iter(quantized.values()))["visible"].method
        calibration = Calibration(method=method, files=names, sha256=fingerprint(samples), convolutions=counts)
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES if _is_installed(name)}
    return Provenance(
        checkpoint=checkpoint.name,
        checkpoint_sha256=sha256(checkpoint),
        epoch=loaded.epoch,
        data=dataset.label if dataset else None,
        calibration=calibration,
        versions={"python": platform.python_version(), **versions},
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        training=loaded.provenance,
    )


def _is_installed(name: str) -> bool:
    return bool(list(importlib.metadata.distributions(name=name)))
