"""From a checkpoint to a bundle."""

from __future__ import annotations

import importlib.metadata
import platform
import shlex
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import torch
from edge_reid_calibration import Quantization, choose, fingerprint, load_chunks, quantize

from edge_reid.bundle import (
    MANIFEST,
    Accuracy,
    Bundle,
    BundleFile,
    Calibration,
    Manifest,
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
from edge_reid_export.onnx_graph import write_graph
from edge_reid_export.parity import check_parity, noise_crops

Tell = Callable[[str], None]

_LIBRARIES = ("edge-reid", "numpy", "onnx", "onnxruntime", "onnxscript", "torch")


def export(
    *,
    checkpoint: Path,
    out: Path,
    int8: bool = False,
    calibration: Path | None = None,
    gate_points: float = 1.0,
    force: bool = False,
    overwrite: bool = False,
    tell: Tell = lambda line: None,
) -> Manifest:
    """Write a bundle: one ONNX graph per modality and precision, and the weights they come from.

    Args:
        checkpoint: a model.safetensors or last.pt.
        out: the bundle's folder.
        int8: also write INT8 graphs.
        calibration: data folder: its training pictures calibrate INT8, its test pictures measure the accuracy.
        gate_points: percentage points of rank-1 or mAP that INT8 may cost in either direction.
        force: write the bundle even if INT8 cost more, and mark it.
        overwrite: replace an existing bundle.
        tell: called with a line when a stage begins.

    Returns:
        The manifest that was written.

    Raises:
        UserError: an input is missing or malformed, or `out` exists.
        CheckFailed: a graph differs from PyTorch, or INT8 cost too much; nothing is written then.
    """
    refuse_existing(out, overwrite=overwrite, marker=MANIFEST)
    if int8 and calibration is None:
        raise UserError("--int8: INT8 takes its ranges from pictures; pass --calibration with a data folder")
    loaded = load_model(checkpoint)
    dataset = FolderDataset(calibration) if calibration else None
    training = dataset.train() if dataset and int8 else []
    pools = {modality: choose(training, modality) for modality in MODALITIES} if training else {}
    with atomic_folder(out, overwrite=overwrite, marker=MANIFEST) as folder:
        files, quantized = _write_graphs(folder, loaded, sha256(checkpoint), pools, tell)
        files.append(_write_weights(folder, checkpoint))
        manifest = Manifest(
            recipe=loaded.recipe,
            config=loaded.config,
            input_size=loaded.size,
            embedding_dim=loaded.embedding_dim,
            files=files,
            accuracy=None,
            match_threshold=None,
            match_rates=None,
            gate_passed=None,
            forced=False,
            provenance=_provenance(checkpoint, loaded, dataset, pools, quantized),
        )
        write_manifest(folder, manifest)
        if dataset:
            tell("accuracy")
            manifest = _measured(Bundle(folder, manifest), dataset, gate_points if int8 else None, force)
            write_manifest(folder, manifest)
    return manifest


def _write_graphs(
    folder: Path, loaded: LoadedModel, source: str, pools: dict[Modality, list[Sample]], tell: Tell
) -> tuple[list[BundleFile], dict[Modality, Quantization]]:
    """FP32 for both modalities, and INT8 where there are pictures for it."""
    files: list[BundleFile] = []
    quantized: dict[Modality, Quantization] = {}
    for modality in MODALITIES:
        metadata = {"recipe": loaded.recipe, "modality": modality, "size": f"{loaded.size[0]}x{loaded.size[1]}"}
        metadata |= {"checkpoint_sha256": source, "crops": "uint8, BGR or grey, 0..255; nothing to normalise"}
        tell(f"{modality} FP32")
        path = folder / f"{modality}.fp32.onnx"
        _write_float(path, loaded, modality, metadata, for_int8=False)
        files.append(describe(path, modality, "onnxruntime", "fp32"))
        if pool := pools.get(modality):
            tell(f"{modality} INT8")
            path = folder / f"{modality}.int8.onnx"
            with tempfile.TemporaryDirectory() as scratch:
                arranged = Path(scratch) / path.name
                _write_float(arranged, loaded, modality, metadata, for_int8=True)
                quantized[modality] = quantize(arranged, path, lambda: load_chunks(pool, loaded.size))
            files.append(describe(path, modality, "onnxruntime", "int8"))
    return files, quantized


def _write_float(
    path: Path, loaded: LoadedModel, modality: Modality, metadata: dict[str, str], *, for_int8: bool
) -> None:
    branch = loaded.model.branch(modality)
    crops = noise_crops(modality, loaded.size)
    folded = FoldedBranch(branch, modality, loaded.size, for_int8=for_int8)
    write_graph(folded, torch.from_numpy(crops[:2]), path, metadata)
    check_parity(branch, path, crops)


def _write_weights(folder: Path, checkpoint: Path) -> BundleFile:
    """The network's weights, for the PyTorch engine and for exporting again."""
    return describe(write_network(checkpoint, folder / "model.safetensors"), "both", "torch", "fp32")


def _measured(bundle: Bundle, dataset: FolderDataset, gate_points: float | None, force: bool) -> Manifest:
    """The manifest with accuracy, gate and match threshold; `gate_points` is None without INT8."""
    name = f"{dataset.label}, test"
    embedded = embed_test(bundle, dataset, "fp32")
    before, after, short = results(embedded, name), None, []
    if gate_points is not None:
        embedded = embed_test(bundle, dataset, "int8")
        after = results(embedded, name)
        short = shortfalls(before, after, gate_points)
        if short and not force:
            raise CheckFailed(
                f"INT8: {'; '.join(short)}; the gate is {gate_points:g}. Nothing was written; train longer, calibrate "
                "with more pictures, or pass --force"
            )
    threshold, rates = match_threshold(embedded, "fp32" if gate_points is None else "int8")
    return bundle.manifest.model_copy(
        update={
            "accuracy": Accuracy(before=before, after=after),
            "match_threshold": threshold,
            "match_rates": rates,
            "gate_passed": None if gate_points is None else not short,
            "forced": bool(short),
        }
    )


def _provenance(
    checkpoint: Path,
    loaded: LoadedModel,
    dataset: FolderDataset | None,
    pools: dict[Modality, list[Sample]],
    quantized: dict[Modality, Quantization],
) -> Provenance:
    calibration = None
    if dataset and quantized:
        samples = [sample for modality in MODALITIES for sample in pools[modality]]
        names = {m: [sample.path.relative_to(dataset.root).as_posix() for sample in pools[m]] for m in MODALITIES}
        counts = {m: (made.quantized_convolutions, made.convolutions) for m, made in quantized.items()}
        method = quantized["visible"].method
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
