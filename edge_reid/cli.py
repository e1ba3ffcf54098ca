"""`edge-reid COMMAND`: one frozen dataclass per command is its options, its defaults and its help.

A command parses, calls one library function and prints. Everything heavy is imported inside `run`, so that `--help` and
the commands of a device work without torch.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
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
    recipe: Literal["sdm-mgim"] = "sdm-mgim"
    """Which published system."""
    init: Path | None = None
    """Model to start from; `reference` is the one that the project carries. Its network's numbers are taken over."""
    width: Literal["1.0", "0.75", "0.5", "0.25"] = "1.0"
    """Width of OSNet."""
    size: Size = (288, 144)
    """Height and width of the pictures."""
    granularities: tuple[int, ...] = (2, 3, 6)
    """Stripes of the multi-granularity blocks."""
    part_dim: int = 128
    """Size of a part's feature."""
    epochs: int = 120
    """Passes over the training people; 0 writes the untrained network."""
    learning_rate: float = 6e-4
    """Peak of warm-up and cosine."""
    seed: int = 0
    """Of the weights and of every batch."""
    device: str | None = None
    """A torch device; CUDA where there is one, else the CPU."""
    workers: int = 1
    """Processes that read and augment pictures."""

    def run(self) -> None:
        """Train."""


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Check this machine: libraries, engines, camera support, processor, the model that the project carries."""

    json: bool = False
    """Print one JSON document."""

    def run(self) -> None:
        """Print one line per check."""


Command = Annotated[Demo, subcommand("demo")] | Annotated[Synth, subcommand("synth")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and run; return the exit code: 0 done, 1 a check fell short, 2 the request was wrong."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    command = tyro.cli(Command, prog="edge-reid", description=__doc__.splitlines()[0] if __doc__ else "", args=words)  # type: ignore[call-overload]
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
