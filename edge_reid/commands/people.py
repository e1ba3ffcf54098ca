"""Commands that make people, pictures and scenes."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from edge_reid.errors import CheckFailed
from edge_reid.progress import print_table, progress


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
    size: tuple[int, int] = (256, 128)
    """Height and width of a picture."""
    people: int = 16
    """People who cross the scene."""
    seconds: float = 30.0
    """Length of the scene, or of each visit to it."""
    visits: int = 1
    """How often they come to the scene, --pause seconds apart."""
    pause: float = 300.0
    """Seconds between two visits."""
    newcomers: int = 0
    """People who cross the scene in the last visit only."""
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

            play = Screenplay(
                people=self.people, seconds=self.seconds, visits=self.visits, pause=self.pause,
                newcomers=self.newcomers, seed=self.seed, camera_seed=self.camera_seed,
            )  # fmt: skip
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
        began = time.perf_counter()
        with progress("drawing people") as update:
            count = write_dataset(self.out, population, workers=self.workers, overwrite=self.overwrite, progress=update)
        rate = count / (time.perf_counter() - began)
        dataset = FolderDataset(self.out)
        samples = [*dataset.query("visible"), *dataset.query("thermal")] if self.test_identities else dataset.train()
        contact_sheet(self.out / "sheet.png", samples)
        print(
            f"{self.out}: {count} pictures of {self.identities} + {self.test_identities} people, "
            f"{rate:.0f} a second with {self.workers} processes; see sheet.png"
        )


@dataclass(frozen=True, kw_only=True)
class Data:
    """Compare a data set with what its protocol needs: counts, identities, lists; exit code 1 if it is not whole."""

    action: Positional[Literal["check"]]
    """What to do with it."""
    name: Positional[Literal["folder", "sysu", "regdb", "llcm"]]
    """Which data set it is; folder for one's own pictures."""
    root: Positional[Path]
    """Where it was unpacked; for one's own pictures a folder or a .csv table."""
    json: bool = False
    """Print one JSON document."""

    def run(self) -> None:
        """Print one line per thing that the protocol needs."""
        from edge_reid.data.check import check

        findings = check(self.name, self.root)
        if self.json:
            print(json.dumps([finding.as_json() for finding in findings]))
        else:
            rows = [(f.what, f.state, f.found, f.expected, f.remedy) for f in findings]
            print_table(("", "state", "found", "expected", "what to do"), rows)
        if short := [finding for finding in findings if finding.state in ("differs", "missing")]:
            raise CheckFailed(f"{self.root}: not whole, {len(short)} of {len(findings)} lines above say why")
