"""Enrol someone in a gallery: they stand before the cameras alone for some seconds.

Sources are those of dual_camera.py: video files, folders of pictures, camera indices, HTTP or RTSP URLs.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_reid.command_line import parse_words
from edge_reid.errors import UserError
from edge_reid.live.script import leave, run_script
from edge_reid.types import Embed, Modality

if TYPE_CHECKING:
    from edge_reid.bundle import MatchingRule
    from edge_reid.cameras.sources import Source
    from edge_reid.gallery.base import Prototype
    from edge_reid.gallery.enrolment import Shot
    from edge_reid.gallery.sitting import Scene, Sitting

SAID: dict[Scene, str] = {
    "nobody": "nobody in view; waiting",
    "one": "one person in view; taking pictures",
    "several": "several people in view; waiting until one is left, all pictures are taken anew",
    "done": "that is enough",
}

ABSENT = 5.0
"""Seconds without a first picture after which a camera is not waited for; to open takes it 4 at most, see timeout=."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Enrol the one person before one camera or two."""

    gallery: Path
    """The gallery's file; it is made where there is none."""
    name: str
    """The person's; who has it already is given the new pictures as well."""
    visible: str | None = None
    """Source of the visible view."""
    thermal: str | None = None
    """Source of the thermal view."""
    bundle: Path | None = None
    """Bundle with the networks; the one that the project carries when not given."""
    detector: str = "motion"
    """motion (fixed cameras), hog, hot (thermal) or onnx:FILE."""
    visible_detector: str | None = None
    """The visible camera's own, instead of --detector."""
    thermal_detector: str | None = None
    """The thermal camera's own, instead of --detector."""
    crops: int = 8
    """Pictures of each camera whose mean is kept."""
    seconds: float = 60.0
    """Give up after so long."""
    offline: bool = False
    """Take every frame of files in order, as fast as they can be worked."""
    key: Path | None = None
    """File with the key of an encrypted gallery; EDGE_REID_GALLERY_KEY when not given."""
    keep_crops: bool = False
    """Store the best picture of each camera beside the vector."""
    debug: bool = False
    """Show where an error came from."""


def main(words: Sequence[str]) -> int:
    """Parse and run; exit code 0 done, 2 the request was wrong or nobody came."""

    def work() -> str:
        run(parse_words(Options, words, program="enrol.py", description=__doc__))
        return ""

    return run_script("enrol", work, lambda: "--debug" in words)


def run(options: Options) -> None:
    """Load the networks, take pictures, enrol."""
    from edge_reid.bundle import Bundle
    from edge_reid.gallery.enrolment import open_embed
    from edge_reid.reference import bundle_path

    bundle = Bundle.open(options.bundle or bundle_path())
    manifest = bundle.manifest
    with contextlib.ExitStack() as stack:
        embed = {modality: stack.enter_context(open_embed(bundle, modality)) for modality in _sources(options)}
        work(options, embed, manifest.input_size, (bundle.space, manifest.embedding_dim), manifest.matching)


def work(
    options: Options,
    embed: Mapping[Modality, Embed],
    size: tuple[int, int],
    model: tuple[str, int],
    rule: MatchingRule | None,
) -> int:
    """Take pictures and enrol with any networks of input size (H, W); returns the person's number."""
    from edge_reid.gallery.cipher import read_key
    from edge_reid.gallery.enrolment import find_lookalike, mean_prototype
    from edge_reid.gallery.records import checked_name
    from edge_reid.gallery.sqlite import SqliteGallery

    name = checked_name(options.name)
    key = read_key(options.key)
    space, dimension = model

    def opened() -> SqliteGallery:
        return SqliteGallery(
            options.gallery, space=space, dimension=dimension, key=key, keep_crops=options.keep_crops, actor="enrol"
        )

    if options.gallery.exists():
        opened().close()  # what is wrong with it is told before anybody has to stand still
    shots = _take(options, size)
    with contextlib.closing(opened()) as gallery:
        prototypes: list[Prototype] = [
            mean_prototype(shots[modality], modality, embed[modality], time.time()) for modality in shots
        ]
        lookalike = find_lookalike(gallery, prototypes, rule, name)
        number = gallery.enrol(name, prototypes, [taken[0].jpeg() for taken in shots.values()])
    counts = ", ".join(f"{len(taken)} {modality}" for modality, taken in shots.items())
    print(f"{options.gallery}: person {number} ({name}): {counts} pictures")
    if lookalike is not None:
        print(lookalike)
    return number


def _sources(options: Options) -> dict[Modality, str]:
    uris: dict[Modality, str | None] = {"visible": options.visible, "thermal": options.thermal}
    named = {modality: uri for modality, uri in uris.items() if uri is not None}
    if not named:
        raise UserError("--visible or --thermal: at least one camera is needed")
    return named


def _take(options: Options, size: tuple[int, int]) -> dict[Modality, list[Shot]]:
    """The best pictures of each camera."""
    from edge_reid.cameras.sources import open_source
    from edge_reid.gallery.sitting import Sitting
    from edge_reid.people.detection import load_detectors

    if options.crops < 1 or options.seconds <= 0:
        raise UserError("--crops needs at least 1, --seconds more than 0")
    uris = _sources(options)
    with contextlib.ExitStack() as stack:
        sources: dict[Modality, Source] = {}
        for modality, uri in uris.items():
            sources[modality] = open_source(uri, modality, offline=options.offline)
            stack.callback(sources[modality].close)
        own = {"visible": options.visible_detector, "thermal": options.thermal_detector}
        detectors = load_detectors(options.detector, {modality: own[modality] for modality in uris})
        sitting = Sitting(detectors, size, options.crops)
        _watch(sources, sitting, options.seconds)
    best = sitting.best()
    if missing := [modality for modality, shots in best.items() if not shots]:
        raise UserError(
            f"nobody was alone and whole in view of the {' and the '.join(missing)} camera for long enough; try again, "
            "or with another --detector or more --seconds"
        )
    return best


def _watch(sources: Mapping[Modality, Source], sitting: Sitting, seconds: float) -> None:
    """Until there are pictures enough, time is up, or the files end."""
    epoch, arrived, said = time.monotonic(), threading.Event(), None
    for source in sources.values():
        source.start(epoch, arrived)
    offline = all(source.offline for source in sources.values())
    while any(source.state != "ended" for source in sources.values()):
        if not offline:
            arrived.wait(0.2)
            arrived.clear()
        now = time.monotonic() - epoch
        for modality, source in sources.items():
            _refuse_absent(modality, source, now)
            if (frame := source.read()) is None:
                continue
            now = frame.time if offline else now
            scene = sitting.look(modality, frame)
            if scene != said:
                print(f"enrol: {SAID[scene]}", file=sys.stderr)
                said = scene
            if scene == "done":
                return
        if now > seconds:
            return


def _refuse_absent(modality: Modality, source: Source, now: float) -> None:
    """Raises UserError where a camera has had time to come and has not."""
    health = source.health()
    if now > ABSENT and not health.received and health.problem:
        problem = health.problem.removeprefix(f"{source.name}: ")
        raise UserError(f"--{modality} {source.name}: has given no picture in {ABSENT:g} s: {problem}")


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
