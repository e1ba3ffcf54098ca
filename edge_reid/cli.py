"""`edge-reid COMMAND`: one frozen dataclass per command is its options, its defaults and its help.

A command parses, calls one library function and prints. Everything heavy is imported inside `run`, so that `--help` and
the commands of a device work without torch.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, subcommand

from edge_reid.errors import CheckFailed, UserError
from edge_reid.progress import progress

Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Run the whole line on synthetic people and write a report in pictures: about ten minutes on two cores."""

    out: Path = Path("runs/demo")
    """Folder of the demo; finished steps are kept, so a second run goes on where the first one stopped."""

    def run(self) -> None:
        """Run the steps that are left, then write the report."""
        from edge_reid.demo import run_demo

        run_demo(self.out)


@dataclass(frozen=True, kw_only=True)
class Synth:
    """Draw synthetic people: a data folder, or with --scene two synchronised videos with ground truth."""

    out: Positional[Path]
    """Folder to write; it must not exist."""
    scene: bool = False
    """Film a scene instead of drawing pictures."""
    identities: int = 400
    """People to train on."""
    test_identities: int = 100
    """People to test on; they are the same for any number of training people."""
    pictures: int = 8
    """Pictures of each person in each modality."""
    cameras: int = 4
    """Cameras, half of them visible and half thermal."""
    size: Size = (256, 128)
    """Height and width of a picture."""
    people: int = 16
    """People who cross the scene."""
    seconds: float = 30.0
    """Length of the scene."""
    seed: int = 0
    """Another seed draws other people."""
    camera_seed: int | None = None
    """Another seed draws other cameras and places; the people's seed when not given."""
    workers: int = os.cpu_count() or 1
    """Processes that draw; the result does not depend on them."""
    overwrite: bool = False
    """Replace an existing folder."""

    def run(self) -> None:
        """Draw, and lay a contact sheet beside the pictures."""
        if self.scene:
            from edge_reid.data.synthetic.scene import Screenplay, write_scene

            play = Screenplay(people=self.people, seconds=self.seconds, seed=self.seed, camera_seed=self.camera_seed)
            with progress("filming") as update:
                write_scene(self.out, play, overwrite=self.overwrite, progress=update)
            print(f"{self.out}: visible.avi and thermal.avi, {self.people} people, with ground truth and homography")
            return
        from edge_reid.data.folder import FolderDataset
        from edge_reid.data.sheet import contact_sheet
        from edge_reid.data.synthetic.dataset import Population, write_dataset

        population = Population(
            identities=self.identities, test_identities=self.test_identities, pictures=self.pictures,
            cameras=self.cameras, size=self.size, seed=self.seed, camera_seed=self.camera_seed,
        )  # fmt: skip
        with progress("drawing people") as update:
            count = write_dataset(self.out, population, workers=self.workers, overwrite=self.overwrite, progress=update)
        dataset = FolderDataset(self.out)
        samples = [*dataset.query("visible"), *dataset.query("thermal")] if self.test_identities else dataset.train()
        contact_sheet(self.out / "sheet.png", samples)
        print(f"{self.out}: {count} pictures of {self.identities} + {self.test_identities} people; see sheet.png")


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a recipe on the training people of a data folder; run the same command again to go on."""

    data: Positional[Path]
    """Data folder: ROOT/train/{visible,thermal}/IDENTITY/cCAMERA_NAME.jpg."""
    out: Path = Path("runs/train")
    """Folder of the run: checkpoints, log.csv, TensorBoard, and at the end model.safetensors."""
    recipe: str = "sdm-mgim"
    """Which published system."""
    init: Path | None = None
    """Model to start from, `reference` for the one that the project carries; the network's numbers are its own."""
    width: float | None = None
    """Width of OSNet: 1.0, 0.75, 0.5 or 0.25."""
    size: Size | None = None
    """Height and width of the pictures."""
    granularities: tuple[int, ...] | None = None
    """Stripes of the multi-granularity blocks."""
    part_dim: int | None = None
    """Size of a part's feature."""
    share_from: int | None = None
    """First stage that both modalities share, 0 to 5."""
    identities: int | None = None
    """Identities of a step."""
    pictures: int | None = None
    """Visible and thermal pictures of each identity of a step."""
    learning_rate: float | None = None
    """Peak of warm-up and cosine."""
    weight_decay: float | None = None
    """Of convolutions and linear layers."""
    shares: tuple[float, ...] | None = None
    """Shares of the training at growing picture sizes: 0.9 0.1 begins at half size."""
    identity_weight: float | None = None
    """Of the identity losses."""
    attribute_weight: float | None = None
    """Of the attributes, where the data folder knows some."""
    parsing_weight: float | None = None
    """Of the part labels, where the data folder has some."""
    epochs: int = 120
    """Passes over the training people; 0 writes the untrained network."""
    steps: int | None = None
    """Steps of an epoch; as many as draw each picture once when not given."""
    validate: int = 0
    """Training people to keep out of training and to rank now and then."""
    seed: int = 0
    """Of the weights and of every batch."""
    device: str | None = None
    """A torch device; CUDA where there is one, else the CPU."""
    workers: int = 1
    """Processes that read and augment pictures."""

    def run(self) -> None:
        """Train."""
        from edge_reid import recipes
        from edge_reid.training.checkpoint import load_model
        from edge_reid.training.loop import train
        from edge_reid.training.run import Plan

        init = _checkpoint(self.init) if self.init else None
        recipe = recipes.get(self.recipe)
        if init:
            recipe = recipes.from_json(self.recipe, load_model(init).config)
        names = {field.name for field in fields(recipe)} & {field.name for field in fields(self)}
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if init and "shares" not in given:
            given["shares"] = (1.0,)
        plan = Plan(epochs=self.epochs, steps_per_epoch=self.steps, seed=self.seed, validate_identities=self.validate)
        train(
            data=self.data, out=self.out, recipe=replace(recipe, **given), plan=plan, init=init, device=self.device,
            workers=self.workers,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Rank the test people of a data folder in both directions: single-shot, ten gallery draws."""

    checkpoint: Positional[Path]
    """A model.safetensors or last.pt, or `reference`."""
    data: Positional[Path]
    """Data folder with test/."""
    rule: Literal["sysu", "regdb", "llcm"] = "regdb"
    """Which gallery pictures a query may see and how CMC counts."""
    trials: int = 10
    """Gallery draws."""
    baselines: bool = False
    """Also rank by raw pixels, by silhouettes where the folder has part labels, and with an untrained network."""
    sheet: Path | None = None
    """Write a picture of queries with their ten nearest here (PNG)."""
    device: str | None = None
    """A torch device; CUDA where there is one, else the CPU."""
    json: bool = False
    """Print one JSON document."""

    def run(self) -> None:
        """Rank and print."""
        from edge_reid.training.evaluate import evaluate_checkpoint, rank_baselines

        checkpoint = _checkpoint(self.checkpoint)
        with progress("embedding") as update:
            evaluations = evaluate_checkpoint(
                checkpoint, self.data, rule=self.rule, trials=self.trials, device=self.device, sheet=self.sheet,
                progress=update,
            )  # fmt: skip
            baselines = (
                rank_baselines(checkpoint, self.data, rule=self.rule, trials=self.trials) if self.baselines else {}
            )
        answer = {
            "evaluations": [asdict(evaluation) for evaluation in evaluations],
            "baselines": {name: [asdict(e) for e in both] for name, both in baselines.items()},
        }
        if self.json:
            print(json.dumps(answer))
            return
        table = Table("", "direction", "rank-1", "rank-5", "rank-10", "mAP", "mINP")
        for name, both in {**baselines, str(self.checkpoint): evaluations}.items():
            for e in both:
                numbers = (e.rank1, e.rank5, e.rank10, e.mean_ap, e.mean_inp)
                table.add_row(name, e.direction, *(f"{number:.1%}" for number in numbers))
        Console().print(table)
        for e in evaluations:
            print(e.protocol)
        if self.sheet:
            print(f"{self.sheet}: some rankings in pictures")


@dataclass(frozen=True, kw_only=True)
class Export:
    """Export a checkpoint as a bundle: one ONNX graph per modality, FP32 and, with --int8, quantised and gated."""

    checkpoint: Positional[Path]
    """A model.safetensors or last.pt, or `reference`."""
    out: Path
    """Bundle to write, a folder."""
    int8: bool = False
    """Also write INT8 graphs; needs --calibration."""
    calibration: Path | None = None
    """Data folder: its training people calibrate, its test people are the gate."""
    gate: float = 1.0
    """Points of rank-1 or mAP that INT8 may cost in either direction."""
    force: bool = False
    """Write the bundle even if it cost more, and mark it."""
    overwrite: bool = False
    """Replace an existing bundle."""
    json: bool = False
    """Print the manifest as one JSON document."""

    def run(self) -> None:
        """Export and print what it cost."""
        from edge_reid_export import export

        manifest = export(
            checkpoint=_checkpoint(self.checkpoint), out=self.out, int8=self.int8, calibration=self.calibration,
            gate_points=self.gate, force=self.force, overwrite=self.overwrite,
            tell=lambda line: print(line, file=sys.stderr),
        )  # fmt: skip
        if self.json:
            print(manifest.model_dump_json())
            return
        if manifest.accuracy:
            table = Table("", "direction", "rank-1", "mAP")
            for name, results in (("FP32", manifest.accuracy.before), ("INT8", manifest.accuracy.after or [])):
                for result in results:
                    direction = f"{result.query_modality} -> {result.gallery_modality}"
                    table.add_row(name, direction, f"{result.rank1:.1%}", f"{result.mean_ap:.1%}")
            Console().print(table)
            print(manifest.accuracy.before[0].protocol)
        verdict = "; INT8 cost more than the gate allows, written because of --force" if manifest.forced else ""
        size = sum(file.bytes for file in manifest.files) / 1e6
        print(f"{self.out}: {len(manifest.files)} files, {size:.1f} MB{verdict}")


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Time every engine and precision of a bundle at several batch sizes, with its accuracy beside it."""

    bundle: Positional[Path | None] = None
    """A bundle; the one that the project carries when not given."""
    data: Path | None = None
    """Data folder whose test people give rank-1 and mAP."""
    batches: tuple[int, ...] = (1, 4, 8)
    """Batch sizes."""
    json: bool = False
    """Print one JSON document."""

    def run(self) -> None:
        """Measure and print the table."""


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Check this machine: libraries, engines, camera support, processor, the model that the project carries."""

    json: bool = False
    """Print one JSON document."""

    def run(self) -> None:
        """Print one line per check."""


def _checkpoint(path: Path) -> Path:
    """The file that a command means; `reference` is the project's own."""
    if path == Path("reference"):
        from edge_reid.reference import checkpoint_path

        return checkpoint_path()
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint; train one with `edge-reid train`, or say reference")
    return path


Command = (
    Annotated[Demo, subcommand("demo")]
    | Annotated[Synth, subcommand("synth")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Export, subcommand("export")]
    | Annotated[Benchmark, subcommand("benchmark")]
    | Annotated[Doctor, subcommand("doctor")]
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and run; return the exit code: 0 done, 1 a check fell short, 2 the request was wrong."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    command = tyro.cli(
        Command,
        prog="edge-reid",
        description="Visible-thermal person re-identification, from pictures to a device.",
        args=words,
    )
    try:
        command.run()
    except (UserError, CheckFailed, OSError, ModuleNotFoundError) as error:
        if debug:
            raise
        print(f"edge-reid: {one_line(error)}", file=sys.stderr)
        return 1 if isinstance(error, CheckFailed) else 2
    except KeyboardInterrupt:
        return 130
    return 0


def one_line(error: Exception) -> str:
    """What a user is told of an error: cause and remedy in one line."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{error.filename or 'the disk'}: no space left; free some or choose another output"
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed; pip install 'edge-reid[{_EXTRA_OF.get(error.name or '', 'train')}]'"
    return " ".join(str(error).split())


_EXTRA_OF = {
    "cv2": "camera",
    "onnx": "export",
    "onnxslim": "export",
    "onnxscript": "export",
    "openvino": "openvino",
    "tensorrt": "tensorrt",
}


if __name__ == "__main__":
    sys.exit(main())
