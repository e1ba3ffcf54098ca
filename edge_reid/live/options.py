"""What a run on two cameras is asked to do: on the command line, in a TOML file, or both."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import tyro
from pydantic import ConfigDict

from edge_reid.command_line import parse_words
from edge_reid.errors import UserError
from edge_reid.fleet.records import is_address
from edge_reid.toml import read_toml

MOST_HOURS = 24 * 36_500
"""A hundred years: who wants people remembered for ever says so."""

LEAST_GIGABYTES = 0.1
"""Below, a second of pictures would be more than a part."""

_LATER = "\0"
"""Stands in a file's place for what the command line has to say."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Follow people in a visible and a thermal view and say who in one is who in the other and who was here before."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    visible: str
    """Source of the visible view: video, folder, folder/pattern, camera index, v4l2:, csi:, rtsp:, http:, gst:."""
    thermal: str
    """Source of the thermal view; 16-bit pictures are welcome."""
    config: Path | None = None
    """TOML file with any of these options, named as here with underscores; the command line overrides it."""
    bundle: Path | None = None
    """Bundle with the networks; the one that the project carries when not given."""
    engine: Literal["onnxruntime", "openvino", "ncnn", "tensorrt", "torch"] | None = None
    """What runs the networks; what `edge-reid benchmark` found fastest here, else onnxruntime, when not given."""
    detector: str = "motion"
    """motion (fixed cameras), hog, hot (thermal), or onnx:FILE; options behind ?, as in onnx:yolox.onnx?every=2."""
    visible_detector: str | None = None
    """The visible camera's own, instead of --detector."""
    thermal_detector: str | None = None
    """The thermal camera's own, instead of --detector."""
    threshold: float | None = None
    """Least cosine of a match between the views, 0.25 less where --homography puts both at one place; the bundle's
    when not given."""
    homography: Path | None = None
    """Homography of the ground between the views, as apps/align_cameras.py writes it: who is seen to stand elsewhere
    is then no match."""
    gallery: str | None = None
    """File that remembers people from run to run; without it they are forgotten at the end. An address as --fleet takes
    it means a file of the program's own, and that fleet."""
    fleet: str | None = None
    """postgresql://USER@HOST/DATABASE: what this device sees is told there, too, and waits in the gallery's file while
    the fleet is out of reach; the password comes from PGPASSWORD or PGPASSFILE (docs/fleet.md)."""
    gallery_key: Path | None = None
    """File with the key that encrypts the gallery; or set EDGE_REID_GALLERY_KEY."""
    keep_crops: bool = False
    """Keep a picture beside each prototype in the gallery."""
    forget_after_hours: float = 24.0
    """Without being seen after which people without a name are forgotten."""
    forget_named_after_days: float | Literal["never"] = 30.0
    """Without being seen after which people with a name are forgotten, or never."""
    headless: bool = False
    """No window."""
    offline: bool = False
    """Take every frame of files in order, as fast as they can be worked; the result is always the same."""
    max_frames: int | None = None
    """Stop after so many frames."""
    events: Path | None = None
    """Append events here, one JSON object a line (docs/events.md)."""
    event_names: bool = False
    """Say in events who somebody is by name, too, not by number alone."""
    webhook: str | None = None
    """Post events to this URL, queued on disk beside --events while it is away."""
    mqtt: str | None = None
    """Publish events to this broker, mqtt[s]://HOST[:PORT][/PREFIX], queued likewise."""
    record: Path | None = None
    """Write the annotated video here (.avi or .mp4)."""
    record_gigabytes: float | None = None
    """Write it in parts, FILE-20261122T051000Z.avi, of an hour at most, and remove the oldest so that all together
    stay below so many gigabytes; inf removes none."""
    tracks: Path | None = None
    """Write tracks (MOT text) and links into this folder, replacing it."""
    web: bool = False
    """Serve a page with both views, people, history and health."""
    web_address: str = "127.0.0.1:8080"
    """Address and port of the page; port 0 takes a free one."""
    web_token: Path | None = None
    """File with the page's token (mode 0600); else EDGE_REID_WEB_TOKEN, else one is made up and told."""
    profile: bool = False
    """Say at the end where the time went, stage by stage."""
    check: bool = False
    """Check all of this, open the cameras once, say what a run would do, and end."""
    json: bool = False
    """Print the summary as one JSON object on the last line."""
    debug: bool = False
    """Show where an error came from."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        if self.max_frames is not None and self.max_frames < 1:
            raise UserError("--max-frames needs at least 1")
        if self.threshold is not None and not -1 <= self.threshold <= 1:
            raise UserError("--threshold is a cosine; it needs a number from -1 to 1")
        if self.record_gigabytes is not None and not self.record_gigabytes >= LEAST_GIGABYTES:
            raise UserError(f"--record-gigabytes needs at least {LEAST_GIGABYTES}")
        if not 0 < self.forget_after_hours <= MOST_HOURS:
            raise UserError(f"--forget-after-hours needs more than 0 and at most {MOST_HOURS}")
        days = self.forget_named_after_days
        if days != "never" and not 0 < days <= MOST_HOURS / 24:
            raise UserError(f"--forget-named-after-days needs never, or more than 0 and at most {MOST_HOURS // 24}")

    def memory(self) -> tuple[Path | None, str | None]:
        """The gallery's file, None for memory alone, and the address of the fleet that is told, None for none."""
        if self.gallery is None:
            return None, None
        if is_address(self.gallery):
            return state_folder() / "people.gallery", self.gallery
        return Path(self.gallery), self.fleet


def state_folder() -> Path:
    """Where the program keeps what nobody has named: systemd's StateDirectory, or the user's own."""
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "edge-reid"


def parse(description: str | None, words: Sequence[str]) -> Options:
    """The options of a command line, and those of its --config file where it is silent.

    Raises:
        UserError: an option is wrong, or the file is missing, no TOML, or holds what is no option.
        SystemExit: help was asked for and given.
    """
    flat = [part for word in words for part in word.split("=", 1)]
    file = Path(flat[flat.index("--config") + 1]) if "--config" in flat[:-1] else None
    # the defaults that help shows are the program's own: a file may hold passwords
    helps = "--help" in words or "-h" in words
    default = None if file is None or helps else read_options(file)
    options: Options = parse_words(
        Options, ["--help"] if helps else words, program="dual_camera.py", description=description, default=default
    )
    _refuse_idle(options, words)
    return options


def _refuse_idle(options: Options, words: Sequence[str]) -> None:
    """Refuse what would do nothing for want of another option; the two may come from the file and the command line."""
    needs = {
        "gallery_key": "gallery", "keep_crops": "gallery", "fleet": "gallery", "event_names": "events",
        "web_token": "web",
    }  # fmt: skip
    if options.fleet and options.gallery and is_address(options.gallery):
        raise UserError("--gallery and --fleet are both a fleet; give --gallery FILE, or leave --fleet out")
    for name, needed in needs.items():
        # the page may be left out of what a file says; its token then has nothing to do, and rightly so
        if getattr(options, name) and not getattr(options, needed) and f"--no-{needed}" not in words:
            idle, other = (f"--{option.replace('_', '-')}" for option in (name, needed))
            raise UserError(f"{idle} does nothing without {other}; give {other}, too")


def read_options(path: Path) -> Options:
    """The options in a TOML file; `visible` and `thermal` may be left to the command line.

    Raises:
        UserError: the file is missing, no TOML, or holds what is no option.
    """
    missing = f"--config {path}: no such file; see apps/service/edge-reid.toml for one"
    read = read_toml(path, Options, missing=missing, visible=_LATER, thermal=_LATER)
    if read.config is not None:
        raise UserError(f"{path}: config: a file cannot name another one; take that line out")
    later = {name: tyro.MISSING for name in ("visible", "thermal") if getattr(read, name) == _LATER}
    return replace(read, **later)
