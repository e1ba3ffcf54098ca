"""A device of the simulated fleet: a process with a gallery in a file and a link, which may be killed at any moment.

    python tests/fleet/device.py FOLDER SITE DEVICE ADDRESS SECONDS

It lives through `life(...)`, a story that is the same however often it is killed: a step that was begun is begun again,
and finds what of it is on disk already. The clock of its gallery jumps.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
import zlib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from edge_reid.events import delivery
from edge_reid.files import atomic_file
from edge_reid.fleet import link as links
from edge_reid.fleet.address import Address
from edge_reid.fleet.link import FleetLink
from edge_reid.gallery.base import Prototype
from edge_reid.gallery.records import Keep
from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.types import Modality

DIMENSION, SPACE = 512, "model-a"
VISITS = 180
"""In half an hour, as the devices' clocks count it."""


@dataclass(frozen=True)
class Step:
    """One thing that happens: somebody is seen, gets a name, turns out to be somebody else, or is to be forgotten."""

    what: Literal["see", "name", "merge", "forget"]
    visitor: int
    time: float
    other: int = 0


def life(site: str, device: str) -> list[Step]:
    """What happens to a device: half an hour of sightings of some thirty people."""
    random = np.random.default_rng(zlib.crc32(f"{site}/{device}".encode()))
    steps: list[Step] = []
    alive: list[int] = []
    seen: dict[int, int] = {}
    for visit in range(VISITS):
        moment = 1.7e9 + 10.0 * visit
        known = [visitor for visitor in alive if seen[visitor] < 6]
        visitor = int(random.choice(known)) if known and random.random() < 0.8 else visit
        if visitor not in alive:
            alive.append(visitor)
        seen[visitor] = seen.get(visitor, 0) + 1
        steps.append(Step("see", visitor, moment))
        dice = random.random()
        if dice < 0.1:
            steps.append(Step("name", visitor, moment + 1))
        elif is_guest(visitor):  # to be forgotten at another device would come at any time
            continue
        elif dice < 0.16 and len(alive) > 2:
            other = int(random.choice(alive))
            if not is_guest(other) and other != visitor and seen[visitor] + seen[other] <= 6:
                steps.append(Step("merge", visitor, moment + 2, other))
                alive.remove(other)
                seen[visitor] += seen[other]
        elif dice < 0.2:
            steps.append(Step("forget", visitor, moment + 3))
            alive.remove(visitor)
    return steps


def is_guest(visitor: int) -> bool:
    """Whether several devices of a site give a visitor the same name."""
    return visitor % 3 == 0


def look(site: str, device: str, visitor: int, moment: float) -> Prototype:
    """How a visitor looks then."""
    random = np.random.default_rng(zlib.crc32(f"{site}/{device}/{visitor}/{moment}".encode()))
    vector = random.normal(size=DIMENSION).astype(np.float32)
    modality: Modality = "visible" if random.random() < 0.5 else "thermal"
    return Prototype(modality, vector / np.linalg.norm(vector), 0.5 + random.random(), moment)


class Device:
    """Lives its life from where it was."""

    def __init__(self, folder: Path, site: str, device: str) -> None:
        self.site, self.device = site, device
        self._file = folder / f"{site}-{device}.gallery"
        self._progress = folder / f"{site}-{device}.json"
        self._numbers: dict[int, int] = {}
        self.step = 0
        if self._progress.exists():
            read = json.loads(self._progress.read_text())
            self.step, self._numbers = read["step"], {int(one): number for one, number in read["numbers"].items()}
        # a clock that has jumped far ahead, and back to 1970, and is right
        clocks = (lambda: 4e9, lambda: 0.0, time.time)
        self.gallery = SqliteGallery(
            self._file, space=SPACE, dimension=DIMENSION, clock=clocks[self.step % 3],
            keep=Keep(anonymous=1e10, named=None, history=1e10, audit=1e10),
        )  # fmt: skip

    def live(self, step: Step) -> None:
        """A step, or what of it was not done before a kill; then it is done for good."""
        number = self._numbers.get(step.visitor)
        if step.what == "see":
            self._see(step, number)
        elif step.what == "name" and number is not None:
            self.gallery.rename(
                number, f"{self.device} {step.visitor}" if step.visitor % 3 else f"guest {step.visitor}"
            )
        elif step.what == "merge" and number is not None:
            gone = self._numbers.pop(step.other)
            if gone in {person.number for person in self.gallery.people()}:
                self.gallery.merge(number, gone)
        elif step.what == "forget" and number is not None:
            if number in {person.number for person in self.gallery.people()}:
                self.gallery.forget(number)
            del self._numbers[step.visitor]
        self.gallery.flush()
        self.step += 1
        with atomic_file(self._progress) as file:
            file.write_text(json.dumps({"step": self.step, "numbers": self._numbers}))

    def _see(self, step: Step, number: int | None) -> None:
        there = self._there_already(step.time)
        if there is None:
            number = self.gallery.add(look(self.site, self.device, step.visitor, step.time), number)
        self._numbers[step.visitor] = person = there or number or 0
        self.gallery.sighted(person, "visible", step.time, step.time + 4.0)
        self.gallery.sighted(person, "visible", step.time, step.time + 7.0)

    def _there_already(self, moment: float) -> int | None:
        with closing(sqlite3.connect(f"file:{self._file}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT person FROM prototypes WHERE time = ?", (moment,)).fetchone()
        return None if row is None else int(row[0])


def main(folder: Path, site: str, device: str, url: str, seconds: float) -> None:
    """Live until the end, and until the fleet knows all of it."""
    links.LOOK_SECONDS, links.ASK_SECONDS, links.MOST = 0.05, 0.5, 20
    delivery.PAUSES = (0.1, 0.5)
    one = Device(folder, site, device)
    story = life(site, device)
    link = FleetLink(one.gallery, Address.read(url))
    for step in story[one.step :]:
        one.live(step)
        time.sleep(seconds / len(story))
    while one.gallery.pending() or link.heard is None:
        time.sleep(0.05)
    link.close()
    one.gallery.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:5], float(sys.argv[5]))
