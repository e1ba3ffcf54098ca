"""Two synchronised videos of people who cross one ground plane, with ground truth: one visible, one thermal camera."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.cameras.geometry import GroundPlane
from edge_reid.data.synthetic.body import Viewpoint, pose
from edge_reid.data.synthetic.cameras import Camera, draw_cameras, sense_thermal, sense_visible
from edge_reid.data.synthetic.crops import SKIN_CELSIUS, Sprite, carrying_side, draw_sprite
from edge_reid.data.synthetic.dataset import person_of
from edge_reid.data.synthetic.people import Person
from edge_reid.data.synthetic.places import draw_place
from edge_reid.data.synthetic.stage import FRAME, Mount, Walk, draw_walks
from edge_reid.errors import UserError
from edge_reid.files import atomic_folder
from edge_reid.types import MODALITIES, Modality

FIRST_SCENE_IDENTITY = 90_000
"""Scene people are in no other data set of the same seed."""

MOUNTS: dict[Modality, Mount] = {
    "visible": Mount(x=-1.6, height=3.5, z=-3.4, yaw=0.13, pitch=0.32, focal=680.0),
    "thermal": Mount(x=2.3, height=3.9, z=-3.1, yaw=-0.2, pitch=0.35, focal=640.0),
}


@dataclass
class _Shot:
    """One camera's film in the making."""

    camera: Camera
    mount: Mount
    back: NDArray[np.float32]
    strength: float
    span: tuple[float, float]
    rng: np.random.Generator
    writer: cv2.VideoWriter
    truth: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Present:
    """Someone in a frame: metres from the camera, who, seen how, drawn how, (row, column) of the drawing's corner."""

    depth: float
    identity: int
    view: Viewpoint
    sprite: Sprite
    corner: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Screenplay:
    """What a scene shows; its frames depend on these numbers alone."""

    people: int = 16
    """Who cross one after the other: 16 in 30 seconds are four to six at a time."""
    seconds: float = 30.0
    """Of a visit, in which each of them crosses once."""
    visits: int = 1
    """How often they come."""
    pause: float = 300.0
    """Seconds between two visits, in which nobody is there."""
    newcomers: int = 0
    """People who cross in the last visit only."""
    fps: int = 15
    seed: int = 0
    """Of the people and their ways."""
    camera_seed: int | None = None
    """Of the cameras and places; `seed` when None."""

    def __post_init__(self) -> None:
        """Refuse what cannot be filmed."""
        if self.people < 1 or self.seconds < 2 or self.fps < 1:
            raise UserError("--people needs at least 1, --seconds at least 2")
        if self.visits < 1 or self.pause < 0 or self.newcomers < 0:
            raise UserError("--visits needs at least 1, --pause and --newcomers 0 or more")
        if self.seed < 0 or (self.camera_seed or 0) < 0:
            raise UserError("--seed and --camera-seed need 0 or more")

    @property
    def begins(self) -> list[float]:
        """The second in which each visit begins."""
        return [visit * (self.seconds + self.pause) for visit in range(self.visits)]


def write_scene(
    out: Path,
    play: Screenplay,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Film a screenplay with two cameras: videos, MOT ground truth and the homography between the views.

    Raises:
        UserError: `out` exists and `overwrite` is false.
    """
    numbers = range(FIRST_SCENE_IDENTITY, FIRST_SCENE_IDENTITY + play.people + play.newcomers)
    people = {number: person_of(play.seed, number) for number in numbers}
    walks = _walks(play, people)
    frames, fps = round((play.begins[-1] + play.seconds) * play.fps), play.fps
    with atomic_folder(out, overwrite=overwrite, marker="scene.json") as folder:
        shots = [_open_shot(folder, modality, play) for modality in MODALITIES]
        for index in range(frames):
            for shot in shots:
                _film(shot, walks, index, fps)
            if progress:
                progress(index + 1, frames)
        for shot in shots:
            shot.writer.release()
            (folder / f"gt_{shot.camera.modality}.txt").write_text("".join(shot.truth))
        ground = {modality: mount.matrix() for modality, mount in MOUNTS.items()}
        across = ground["thermal"] @ np.linalg.inv(ground["visible"])
        about = {
            "synthetic": True, "fps": fps, "frames": frames, "size": list(FRAME), "seed": play.seed,
            "identities": list(numbers), "visits": [round(begin * fps) + 1 for begin in play.begins],
            "newcomers": list(numbers[play.people :]),
        }  # fmt: skip
        (folder / "scene.json").write_text(json.dumps(about, indent=1))
        GroundPlane(across / across[2, 2], dict.fromkeys(MODALITIES, FRAME)).write(folder / "homography.json")


def _walks(play: Screenplay, people: dict[int, Person]) -> list[Walk]:
    """Everybody's crossings, visit by visit."""
    walks = []
    for visit, begin in enumerate(play.begins):
        last = visit == play.visits - 1
        there = people if last else dict(itertools.islice(people.items(), play.people))
        rng = np.random.default_rng([play.seed, 5, visit] if visit else [play.seed, 5])
        walks += [replace(walk, begin=walk.begin + begin) for walk in draw_walks(there, play.seconds, rng)]
    return walks


def _open_shot(folder: Path, modality: Modality, play: Screenplay) -> _Shot:
    fleet = draw_cameras(4, (play.seed if play.camera_seed is None else play.camera_seed) + 31)
    camera = next(camera for camera in fleet if camera.modality == modality)
    camera = replace(camera, inverted=False, gain=max(0.95, camera.gain))
    rng = np.random.default_rng([camera.seed, 3])
    back = draw_place(modality, camera.outdoor, rng, FRAME, horizon_share=0.08)
    strength = 1.0 if modality == "visible" else SKIN_CELSIUS - camera.air[0]
    span = (float(np.percentile(back, 1)) - 0.1 * strength, 0.95 * strength)
    path = folder / f"{modality}.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), play.fps, FRAME[::-1])
    if not writer.isOpened():
        raise RuntimeError(f"{path}: OpenCV cannot write MJPG video; install opencv-python from PyPI")
    return _Shot(camera, MOUNTS[modality], back, strength, span, rng, writer)


def _film(shot: _Shot, walks: list[Walk], index: int, fps: int) -> None:
    """Draw, sense and write one frame, and note the ground truth of everyone in it."""
    present: list[_Present] = []
    for walk in walks:
        now = walk.at(index / fps)
        if now is None:
            continue
        view, depth = shot.mount.view(walk.person, now[0], walk.heading)
        sprite, corner = _sprite(shot, walk, view, now[1])
        present.append(_Present(depth, walk.identity, view, sprite, corner))
    scene = shot.back.copy()
    owner = np.zeros(FRAME, np.int32)
    for person in sorted(present, key=lambda person: -person.depth):
        if shot.camera.modality == "visible":
            _shade_ground(scene, person.view)
        _paste(scene, owner, person, shot.strength)
    for person in sorted(present, key=lambda person: person.identity):
        shot.truth += _truth(index + 1, person, owner)
    if shot.camera.modality == "visible":
        picture = sense_visible(shot.camera, scene, shot.rng, 1.0)
    else:
        grey = sense_thermal(shot.camera, scene, shot.rng, shot.span)
        picture = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    shot.writer.write(picture)


def _sprite(shot: _Shot, walk: Walk, view: Viewpoint, phase: float) -> tuple[Sprite, tuple[int, int]]:
    """The drawn person and the (row, column) of its upper left corner in the frame."""
    height, width = int(view.scale * 1.25) + 4, int(view.scale * 0.95) + 4
    row, column = round(view.foot[1] - 0.92 * height), round(view.foot[0] - width / 2)
    local = Viewpoint(view.turn, view.pitch, view.scale, (view.foot[0] - column, view.foot[1] - row))
    stance = pose(walk.person, phase, carrying=carrying_side(walk.person))
    rng = np.random.default_rng([walk.identity, shot.camera.seed])  # the same light and folds in every frame
    return draw_sprite(walk.person, stance, local, (height, width), shot.camera.modality, rng), (row, column)


def _overlap(sprite: Sprite, corner: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The region of the frame that a sprite covers and the region of the sprite inside the frame."""
    inside, local = [], []
    for start, side, limit in zip(corner, sprite.cover.shape, FRAME, strict=True):
        last = max(0, min(limit, start + side))
        first = min(max(0, start), last)
        inside.append(slice(first, last))
        local.append(slice(first - start, last - start))
    return (inside[0], inside[1]), (local[0], local[1])


def _shade_ground(scene: NDArray[np.float32], view: Viewpoint) -> None:
    """A soft dark spot around the feet: daylight from everywhere but below."""
    wide, tall = 0.2 * view.scale, 0.2 * view.scale * np.sin(view.pitch)
    spot = np.zeros(FRAME, np.uint8)
    center = (int(view.foot[0] * 16), int(view.foot[1] * 16))
    cv2.ellipse(spot, center, (int(wide * 16), int(tall * 16)), 0, 0, 360, 90, -1, cv2.LINE_AA, 4)
    rows = slice(max(0, int(view.foot[1] - 2 * tall) - 3), max(1, int(view.foot[1] + 2 * tall) + 4))
    soft = cv2.blur(spot[rows], (int(wide / 2) * 2 + 1, 5)) if spot[rows].size else spot[rows]
    scene[rows] *= 1 - soft.astype(np.float32)[..., None] / 255


def _paste(scene: NDArray[np.float32], owner: NDArray[np.int32], person: _Present, strength: float) -> None:
    frame, local = _overlap(person.sprite, person.corner)
    cover = person.sprite.cover[local]
    share = cover if scene.ndim == 2 else cover[..., None]
    scene[frame] = scene[frame] * (1 - share) + person.sprite.front[local] * np.float32(strength)
    owner[frame][cover > 0.5] = person.identity


def _truth(frame: int, person: _Present, owner: NDArray[np.int32]) -> list[str]:
    """The MOT line of one person: the whole box, also where hidden or outside, and the share of them that is seen."""
    solid = person.sprite.cover > 0.5
    region, _ = _overlap(person.sprite, person.corner)
    seen = int((owner[region] == person.identity).sum())
    if seen == 0:
        return []
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    left, top = person.corner[1] + int(columns[0]), person.corner[0] + int(rows[0])
    wide, tall = int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1
    return [f"{frame},{person.identity},{left},{top},{wide},{tall},1,1,{seen / solid.sum():.3f}\n"]
