"""From a checkpoint to a bundle."""

from __future__ import annotations

import importlib.metadata
import platform
import shlex
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

from edge_reid_calibration import Calibration, choose, doubts, fingerprint

from edge_reid.bundle import MANIFEST, BundleFile, Manifest, Provenance, describe, write_manifest
from edge_reid.bundle import Calibration as CalibrationRecord
from edge_reid.data.folder import FolderDataset
from edge_reid.errors import CheckFailed, UserError
from edge_reid.evaluation.open_set import Aim
from edge_reid.evaluation.open_set import calibrate as calibrate_matching
from edge_reid.files import atomic_folder, refuse_existing, sha256
from edge_reid.matching_rule import MatchingRule
from edge_reid.training.checkpoint import LoadedModel, load_model, write_network
from edge_reid.types import MODALITIES, Modality, Sample
from edge_reid_export.accuracy import Gate, Judge, Measured
from edge_reid_export.graphs import EXACT_STREAMS, Pictures, Source, Written, write_target
from edge_reid_export.targets import Target, get

Tell = Callable[[str], None]

_LIBRARIES = ("edge-reid", "numpy", "onnx", "onnxruntime", "onnxscript", "torch")


def export(
    *,
    checkpoint: Path,
    out: Path,
    int8: Calibration | None = None,
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
        int8: how INT8 graphs get their numbers; None writes none.
        targets: kinds of devices that graphs of less than 32 bits are for, see `edge_reid_export.targets`; x86-vnni
            when there is none. The first one's embeddings choose the matching rule.
        calibration: data folder: its training pictures calibrate INT8, its test pictures measure the accuracy and
            choose the matching rule, if they are of people enough.
        gate: what fewer bits may cost, half a point when None. Where INT8 costs more, layers are given back to floating
            point until it does not.
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
    pools = pools_of(dataset) if dataset and int8 else {}
    for line in (doubt for pool in pools.values() for doubt in doubts(pool)):
        tell(line)
    gate = gate or Gate()
    with atomic_folder(out, overwrite=overwrite, marker=MANIFEST) as folder:
        source = Source(loaded, sha256(checkpoint))
        tell("FP32")
        exact = {modality: folder / f"{modality}.fp32.onnx" for modality in MODALITIES}
        for modality, path in exact.items():
            source.write(path, modality, EXACT_STREAMS)
        files = [describe(path, modality, "onnxruntime", "fp32") for modality, path in exact.items()]
        files.append(_write_weights(folder, checkpoint))
        draft = bare_manifest(checkpoint, loaded, dataset).model_copy(update={"files": files})
        judge = Judge(draft, exact, dataset, gate) if dataset else None
        written = [
            write_target(folder, source, exact, target, Pictures(dataset, pools, int8 or Calibration()), judge, tell)
            for target in targets or [get("x86-vnni")]
        ]
        manifest = _finished(draft, written, judge, _calibration(dataset, pools, int8, written), tell)
        write_manifest(folder, manifest)
    return manifest


def pools_of(dataset: FolderDataset) -> dict[Modality, list[Sample]]:
    """The pictures that calibrate, of training people."""
    training = dataset.train()
    return {modality: choose(training, modality) for modality in MODALITIES} if training else {}


def _write_weights(folder: Path, checkpoint: Path) -> BundleFile:
    """The network's weights, for the PyTorch engine and for exporting again."""
    return describe(write_network(checkpoint, folder / "model.safetensors"), "both", "torch", "fp32")


def _finished(
    draft: Manifest,
    written: Sequence[Written],
    judge: Judge | None,
    calibration: CalibrationRecord | None,
    tell: Tell,
) -> Manifest:
    """The manifest with everything that was written and measured."""
    measured = [one for made in written for one in made.measured]
    short = [line for one in measured for line in one.short]
    files = [*draft.files, *(file for made in written for file in made.files)]
    done = draft.model_copy(
        update={
            "files": files,
            "provenance": draft.provenance.model_copy(update={"calibration": calibration}),
            "forced": bool(short),
        }
    )
    if judge is None:
        return done
    if short and not judge.gate.force:
        raise CheckFailed(
            f"{'; '.join(short)}; the gate is {judge.gate.points:g} points and cosine {judge.gate.cosine:g}. Nothing "
            "was written; fine-tune with --qat 200, calibrate with more pictures, or pass --force"
        )
    deployed = next((one for one in measured if one.accuracy.precision == "int8"), judge.exact)
    return done.model_copy(
        update={
            "accuracy": [one.accuracy for one in (judge.exact, *measured)],
            "matching": _matching(deployed, judge.dataset.label, tell),
            "gate_passed": not short if measured else None,
        }
    )


def _matching(deployed: Measured, data: str, tell: Tell) -> MatchingRule | None:
    """The rule for the usual aim; None, and a line that says why, where the test people do not suffice."""
    engines: dict[Modality, str] = dict.fromkeys(MODALITIES, f"onnxruntime {deployed.accuracy.precision}")
    try:
        return calibrate_matching(deployed.embedded, Aim(), engines=engines, data=f"{data}, test")
    except UserError as error:
        tell(f"no matching rule: {error}; `edge-reid calibrate-matching` makes one")
        return None


def bare_manifest(checkpoint: Path, loaded: LoadedModel, dataset: FolderDataset | None) -> Manifest:
    """The manifest of a bundle in which there is nothing yet."""
    return Manifest(
        recipe=loaded.recipe,
        config=loaded.config,
        input_size=loaded.size,
        embedding_dim=loaded.embedding_dim,
        files=[],
        accuracy=[],
        matching=None,
        gate_passed=None,
        forced=False,
        provenance=_provenance(checkpoint, loaded, dataset),
    )


def _calibration(
    dataset: FolderDataset | None,
    pools: dict[Modality, list[Sample]],
    how: Calibration | None,
    written: Sequence[Written],
) -> CalibrationRecord | None:
    if not (dataset and pools and how):
        return None
    samples = [sample for modality in MODALITIES for sample in pools[modality]]
    return CalibrationRecord(
        method=how.method,
        equalized=how.equalize,
        corrected=how.correct,
        finetuned=how.finetune,
        files={m: [_name(sample.path, dataset.root) for sample in pools[m]] for m in MODALITIES},
        sha256=fingerprint(samples),
        layers={made.target: made.layers for made in written if made.layers},
    )


def _name(picture: Path, root: Path) -> str:
    """Within the data folder; a table may name pictures that lie elsewhere."""
    return (picture.relative_to(root) if picture.is_relative_to(root) else picture).as_posix()


def _provenance(checkpoint: Path, loaded: LoadedModel, dataset: FolderDataset | None) -> Provenance:
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES if _is_installed(name)}
    return Provenance(
        checkpoint=checkpoint.name,
        checkpoint_sha256=sha256(checkpoint),
        epoch=loaded.epoch,
        data=dataset.label if dataset else None,
        calibration=None,
        versions={"python": platform.python_version(), **versions},
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        training=loaded.provenance,
    )


def _is_installed(name: str) -> bool:
    return bool(list(importlib.metadata.distributions(name=name)))
