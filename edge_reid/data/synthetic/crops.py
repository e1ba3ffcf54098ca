"""One picture of one person: drawn, put before a place, sensed, cut out as a detector would."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.data.synthetic import appearance
from edge_reid.data.synthetic.appearance import SUPERSAMPLING
from edge_reid.data.synthetic.body import Pose, Viewpoint, pose
from edge_reid.data.synthetic.cameras import Camera, sense_thermal, sense_visible
from edge_reid.data.synthetic.canvas import Canvas
from edge_reid.data.synthetic.figure import draw_figure
from edge_reid.data.synthetic.people import BAG, Person, draw_person
from edge_reid.data.synthetic.places import SIZE
from edge_reid.types import Modality

SKIN_CELSIUS = 33.0


@dataclass(frozen=True)
class Crop:
    """A picture `(H, W, 3)` BGR or `(H, W)`, uint8, and its part labels `(H, W)`."""

    image: NDArray[np.uint8]
    parts: NDArray[np.uint8]


@dataclass(frozen=True)
class Sprite:
    """A drawn person: premultiplied light `(h, w, 3)` 0..255 or heat `(h, w)` 0..1, coverage 0..1 and part labels."""

    front: NDArray[np.float32]
    cover: NDArray[np.float32]
    parts: NDArray[np.uint8]


def carrying_side(person: Person) -> int:
    """-1, +1 or 0: the side whose hand carries a bag."""
    return person.clothes.bag_side if BAG[person.clothes.bag] in ("tote", "suitcase") else 0


def draw_sprite(
    person: Person, stance: Pose, view: Viewpoint, size: tuple[int, int], modality: Modality, rng: np.random.Generator
) -> Sprite:
    """Draw a person onto `size` = (h, w) pixels; `view` is in these pixels."""
    fine = Viewpoint(
        view.turn, view.pitch, view.scale * SUPERSAMPLING, (view.foot[0] * SUPERSAMPLING, view.foot[1] * SUPERSAMPLING)
    )
    canvas: Canvas = draw_figure(
        person, stance, fine, (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING), float(rng.uniform(-1, 1))
    )
    if modality == "visible":
        front = appearance.visible(person, stance, fine, canvas, rng).astype(np.float32)
    else:
        front = appearance.heat(person, canvas, rng)
    cover = np.asarray(appearance.coverage(canvas) / np.float32(255), dtype=np.float32)
    return Sprite(front, cover, appearance.parts(canvas))


def composite(back: NDArray[np.float32], sprite: Sprite, strength: float) -> NDArray[np.float32]:
    """Put a sprite over a background of the same size; `strength` scales its light or heat."""
    cover = sprite.cover if back.ndim == 2 else sprite.cover[..., None]
    return np.asarray(back * (1 - cover) + sprite.front * np.float32(strength), dtype=np.float32)


def make_crop(person: Person, camera: Camera, rng: np.random.Generator, size: tuple[int, int] = (256, 128)) -> Crop:
    """One picture of `person` by `camera`: any of eight directions, any phase, jittered, sometimes hidden."""
    height, width = size
    turn = (int(rng.integers(8)) + rng.uniform(-0.5, 0.5)) * np.pi / 4
    stance = pose(
        person,
        rng.uniform(0, 2 * np.pi),
        float(rng.random() > 0.12) * rng.uniform(0.6, 1.1),
        carrying=carrying_side(person),
    )
    scale = height * rng.uniform(0.84, 0.97) / camera.framing * np.clip(1 + rng.normal(0, 0.05), 0.9, 1.25)
    middle = width / 2 + width * rng.normal(0, 0.045)
    foot = height * (0.5 + rng.normal(0, 0.022)) + scale * 0.5
    pitch = max(0.0, camera.pitch + rng.normal(0, 0.05))
    view = Viewpoint(turn, pitch, scale, (middle, foot))
    back, contrast = _background(camera, size, rng)
    if rng.random() < 0.22:  # somebody else at the edge
        other = draw_person(rng)
        aside = middle + rng.choice((-1, 1)) * width * rng.uniform(0.34, 0.6)
        near = Viewpoint(
            rng.uniform(0, 2 * np.pi),
            pitch,
            scale * rng.uniform(0.75, 1.02),
            (aside, foot - height * rng.uniform(0, 0.06)),
        )
        passer = draw_sprite(other, pose(other, rng.uniform(0, 6.28)), near, size, camera.modality, rng)
        back = composite(back, passer, contrast)
    sprite = draw_sprite(person, stance, view, size, camera.modality, rng)
    scene = composite(back, sprite, contrast)
    labels = sprite.parts.copy()
    if rng.random() < 0.1:
        _occlude(scene, labels, rng)
    return Crop(_sense(camera, scene, contrast, rng), labels)


def _background(camera: Camera, size: tuple[int, int], rng: np.random.Generator) -> tuple[NDArray[np.float32], float]:
    """A cut of the camera's place at the crop's size, and the strength of people before it: light or kelvins."""
    height, width = size
    place = camera.place
    tall = int(rng.uniform(0.35, 0.95) * place.shape[0])
    wide = min(place.shape[1], tall * width // height)
    y, x = int(rng.integers(0, place.shape[0] - tall + 1)), int(rng.integers(0, place.shape[1] - wide + 1))
    cut = place[y : y + tall, x : x + wide]
    back = np.asarray(cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA), dtype=np.float32)
    if camera.modality == "visible":
        return back, float(rng.uniform(0.75, 1.15))
    return back, max(4.0, SKIN_CELSIUS - float(rng.uniform(*camera.air)))


def _occlude(scene: NDArray[np.float32], labels: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """A post, a car or a counter before the person, in place."""
    height, width = labels.shape
    if rng.random() < 0.5:
        y0, y1, x0, x1 = int(height * rng.uniform(0.62, 0.88)), height, 0, width
    else:
        x0 = int(width * rng.uniform(-0.1, 0.9))
        y0, y1, x0, x1 = int(height * rng.uniform(0, 0.5)), height, max(0, x0), x0 + int(width * rng.uniform(0.1, 0.3))
    fill = rng.uniform(20, 200, 3) if scene.ndim == 3 else rng.normal(0, 2.5)
    scene[y0:y1, x0:x1] = fill
    labels[y0:y1, x0:x1] = 0


def _sense(camera: Camera, scene: NDArray[np.float32], contrast: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Bring the scene to the sensor's resolution, sense it, and resize it to the crop's size."""
    height, width = scene.shape[:2]
    rows = int(np.clip(rng.uniform(*camera.person_pixels) * 1.1, 24, height))
    columns = max(12, rows * width // height)
    small = np.asarray(cv2.resize(scene, (columns, rows), interpolation=cv2.INTER_AREA), dtype=np.float32)
    if camera.modality == "visible":
        picture = sense_visible(camera, small, rng, float(rng.uniform(0.75, 1.2)))
    else:
        low, high = float(small.min()), float(small.max())
        room = max(high - low, 0.5 * contrast)
        span = (
            low - room * (rng.uniform(0.0, 0.25) - camera.level),
            high + room * (rng.uniform(0.0, 0.3) + camera.level),
        )
        span = (max(span[0], -contrast * rng.uniform(0.3, 1.2)), span[1])
        corner = (int(rng.integers(SIZE[0] - rows)), int(rng.integers(SIZE[1] - columns)))
        picture = sense_thermal(camera, small, rng, span, corner)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
