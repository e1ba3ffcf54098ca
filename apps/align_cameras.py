"""Find where two cameras see the same floor: from people who walk through both views, or from points that you click.

Writes the homography that apps/dual_camera.py takes with --homography, and a picture of how well the views fit.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_reid.command_line import parse_words
from edge_reid.errors import UserError
from edge_reid.live.script import leave, run_script
from edge_reid.types import MODALITIES, Json, Modality

if TYPE_CHECKING:
    from edge_reid.cameras.alignment import Alignment
    from edge_reid.cameras.pairing import Pairing
    from edge_reid.cameras.sources import Frame
    from edge_reid.live.drawing import Image

FIRST_TRIAL, LATER_TRIALS = 10.0, 1.3
"""Seconds of walking after which the first alignment is tried, and by how much longer for each next one."""

SURE = 0.06
"""Heights of a person to which the floor is known when walking may stop early."""

SILENCE = 30.0
"""Seconds without a picture of either camera after which to give up."""

PATIENCE = 30
"""Frames of single cameras after which two of different times will do to click on."""

NOTICEABLE = 0.05
"""Seconds by which one camera is later that are worth telling; people walk 7 cm meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Find the homography of the floor between a visible and a thermal camera."""

    visible: str
    """Source of the visible view: video, folder, folder/pattern, camera or stream."""
    thermal: str
    """Source of the thermal view."""
    out: Path = Path("homography.json")
    """Write the homography here, replacing an older one."""
    picture: Path | None = None
    """Write the picture of the overlap here (.png or .jpg); beside --out when not given."""
    click: bool = False
    """Click the points in a window, instead of letting people walk."""
    pairs: Path | None = None
    """Points that were clicked (JSON). With --click they are gone on with and written back."""
    seconds: float = 300.0
    """Give up after so many seconds of walking; it ends by itself once the floor is known well."""
    detector: str = "motion"
    """Finds the people who walk: as in apps/dual_camera.py."""
    visible_detector: str | None = None
    """The visible camera's own, instead of --detector."""
    thermal_detector: str | None = None
    """The thermal camera's own, instead of --detector."""
    headless: bool = False
    """Show no window."""
    offline: bool = False
    """Take every frame of files, as fast as they can be worked."""
    json: bool = False
    """Print the report as one JSON object on the last line."""
    debug: bool = False
    """Show where an error came from."""

    @property
    def overlap(self) -> Path:
        """Where the picture goes."""
        return self.picture or self.out.with_suffix(".png")


def main(words: Sequence[str]) -> int:
    """Parse and run; exit code 0 done, 2 the request was wrong or there was too little to see."""

    def work() -> str:
        options: Options = parse_words(Options, words, program="align_cameras.py", description=__doc__)
        report = run(options)
        return json.dumps(report) if options.json else _readable(report)

    return run_script("align_cameras", work, lambda: "--debug" in words)


def run(options: Options) -> dict[str, Json]:
    """Align, write the homography and the picture, show it, and return the report."""
    from edge_reid.cameras.pairing import Pairing
    from edge_reid.cameras.sources import open_source
    from edge_reid.live.overlap import draw_overlap
    from edge_reid.live.window import can_show

    _refuse(options)
    shows = not options.headless and can_show()
    if options.click and not shows:
        raise UserError("--click needs a display; click on another machine and bring the points here with --pairs")
    with ExitStack() as stack:
        visible = open_source(options.visible, "visible", offline=options.offline)
        stack.callback(visible.close)
        thermal = open_source(options.thermal, "thermal", offline=options.offline)
        stack.callback(thermal.close)
        pairing = Pairing(visible, thermal)
        if options.click or options.pairs:
            images, alignment = _from_pairs(options, pairing)
        else:
            images, alignment = _from_walks(options, pairing)
    report = alignment.report()
    _write_picture(options.overlap, picture := draw_overlap(images, alignment))
    alignment.ground.write(options.out, report)
    if shows:
        _show(picture)
    return report | {"files": {"homography": str(options.out), "picture": str(options.overlap)}}


def _refuse(options: Options) -> None:
    """Refuse before the work what would fail after it."""
    if not options.seconds >= FIRST_TRIAL:  # not a number is refused too
        raise UserError(f"--seconds {options.seconds:g}: needs at least {FIRST_TRIAL:g}; people have to walk around")
    if options.overlap.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UserError(f"--picture {options.overlap}: cannot be written as such; name a .png or .jpg")
    for name, path in (("--out", options.out), ("--picture", options.overlap), ("--pairs", options.pairs)):
        if path is not None and path.is_dir():
            raise UserError(f"{name} {path}: is a folder; name a file")
    if options.out.exists():
        from edge_reid.cameras.geometry import GroundPlane

        try:
            GroundPlane.read(options.out)
        except UserError as error:
            raise UserError(f"--out {options.out}: exists and is no homography; choose another file") from error
    if options.click and options.headless:
        raise UserError("--click needs a window; leave --headless out, or give the points with --pairs")


def _together(pairing: Pairing) -> Iterator[Mapping[Modality, Frame]]:
    """Frames of one camera or both, until the sources end."""
    last = time.monotonic()
    while not pairing.ended:
        if (pair := pairing.read()) is not None:
            last = time.monotonic()
            yield pair.frames
        elif time.monotonic() - last > SILENCE:
            raise UserError(f"--visible, --thermal: no picture for {SILENCE:g} s; check both cameras")


def _images(frames: Iterator[Mapping[Modality, Frame]]) -> dict[Modality, Image]:
    """The next images of both cameras, taken at one time unless that hardly ever happens."""
    images: dict[Modality, Image] = {}
    for count, pair in enumerate(frames):
        images |= {modality: frame.image for modality, frame in pair.items()}
        if len(pair) == len(MODALITIES) or (len(images) == len(MODALITIES) and count >= PATIENCE):
            return images
    raise UserError("--visible, --thermal: there is no further picture of both cameras")


def _from_pairs(options: Options, pairing: Pairing) -> tuple[dict[Modality, Image], Alignment]:
    from edge_reid.cameras.alignment import Pairs, align_pairs
    from edge_reid.live.clicking import Clicks, click

    frames = _together(pairing)
    images = _images(frames)
    shapes = {modality: image.shape[:2] for modality, image in images.items()}
    path = options.pairs or options.out.with_suffix(".pairs.json")
    known = Pairs.read(path).scaled(shapes) if path.exists() or not options.click else Pairs(shapes)
    if not options.click:
        return images, align_pairs(known)
    clicks = Clicks(images, list(known.pairs))
    if not click(clicks, "align cameras", lambda: _images(frames), lambda pairs: pairs.write(path)):
        raise UserError(f"left without saving; the points are in {path}, go on with --click --pairs {path}")
    return dict(clicks.frames), align_pairs(clicks.made)


def _from_walks(options: Options, pairing: Pairing) -> tuple[dict[Modality, Image], Alignment]:
    from edge_reid.live.walkers import Walkers
    from edge_reid.people.detection import load_detectors

    own: dict[Modality, str | None] = {"visible": options.visible_detector, "thermal": options.thermal_detector}
    walkers = Walkers(load_detectors(options.detector, own))
    due = FIRST_TRIAL
    for frames in _together(pairing):
        walkers.step(frames)
        now = max(frame.time for frame in frames.values())
        if now >= options.seconds:
            break
        if now < due:
            continue
        due = LATER_TRIALS * now
        try:
            alignment = walkers.align()
        except UserError as error:
            print(f"align_cameras: {now:.0f} s: {error}", file=sys.stderr)
            continue
        sure = alignment.uncertainty or 0.0
        shares = ", ".join(f"{modality} {100 * share:.0f} %" for modality, share in alignment.coverage.items())
        points = f"{len(alignment.visible)} points span {shares} of the view"
        print(f"align_cameras: {now:.0f} s: {points}, sure to {sure:.2f} heights of a person", file=sys.stderr)
        if sure <= SURE:
            return walkers.images, alignment
    return walkers.images, walkers.align()


def _write_picture(path: Path, picture: Image) -> None:
    import cv2

    from edge_reid.files import atomic_file

    with atomic_file(path) as temporary:
        if not cv2.imwrite(str(temporary), picture):
            raise UserError(f"--picture {path}: cannot be written; choose another place")


def _show(picture: Image) -> None:
    """Until a key."""
    from edge_reid.live.window import Window

    window = Window("align cameras: q closes")
    while window.show(picture):
        pass
    window.close()


def _readable(report: dict[str, Json]) -> str:
    lines = []
    for key, value in report.items():
        text = ", ".join(f"{name} {number}" for name, number in value.items()) if isinstance(value, dict) else value
        lines.append(f"{key:>22}  {text}")
    delay = report.get("thermal_delay_seconds")
    if isinstance(delay, float) and abs(delay) >= NOTICEABLE:
        late = "thermal" if delay > 0 else "visible"
        lines.append(f"the {late} camera is late: give its source the option delay={abs(delay):.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
