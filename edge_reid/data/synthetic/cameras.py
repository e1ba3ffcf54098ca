"""What a sensor makes of a scene: two kinds of camera, each with a place, a viewpoint and faults of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.data.synthetic.places import SIZE, draw_place
from edge_reid.types import Modality


@dataclass(frozen=True, kw_only=True)
class Camera:
    """One camera. Angles in radians, sizes in pixels, noise as a share of the full range."""

    number: int
    modality: Modality
    outdoor: bool
    seed: int
    pitch: float
    person_pixels: tuple[float, float]  # height of a person on the sensor, lowest and highest
    blur: float  # standard deviation in pixels of the sensor
    noise: float
    gain: float  # contrast
    level: float  # brightness, shift of the mid grey
    tint: tuple[float, float, float]  # visible: white balance, BGR
    fixed_pattern: float  # thermal: columns and pixels that never match
    inverted: bool  # thermal: black is hot
    air: tuple[float, float]  # thermal: temperature of the air, coldest and warmest day, degrees Celsius
    framing: float  # how much larger than the person its detector's boxes are

    @property
    def place(self) -> NDArray[np.float32]:
        """Its view without people: BGR 0..255 or kelvins above the air."""
        return _place(self.modality, self.outdoor, self.seed)

    @property
    def pattern(self) -> NDArray[np.float32]:
        """Fixed-pattern noise of the sensor, `SIZE`, zero mean, standard deviation 1."""
        return _pattern(self.seed)


# kept per process and not in the camera, so that a camera stays a few numbers when it is sent to a worker
@lru_cache(maxsize=64)
def _place(modality: Modality, outdoor: bool, seed: int) -> NDArray[np.float32]:
    return draw_place(modality, outdoor, np.random.default_rng([seed, 1]))


@lru_cache(maxsize=64)
def _pattern(seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng([seed, 2])
    columns = cv2.blur(rng.standard_normal((1, SIZE[1])).astype(np.float32), (3, 1)) * 1.2
    return np.asarray(columns + 0.5 * rng.standard_normal(SIZE).astype(np.float32), dtype=np.float32)


def draw_cameras(count: int, seed: int) -> list[Camera]:
    """`count` cameras, an even number: the first half visible, the second thermal, indoor and outdoor in turn.

    Numbers start at 1; the same seed gives the same cameras, another seed cameras that nobody has met.
    """
    cameras = []
    for index in range(count):
        rng = np.random.default_rng([seed, 77, index])
        thermal = index >= count // 2
        outdoor = bool(index % 2)
        low = rng.uniform(60, 130) if thermal else rng.uniform(80, 170)
        air = rng.uniform(-2, 24) if outdoor else rng.uniform(17, 24)
        cameras.append(
            Camera(
                number=index + 1,
                modality="thermal" if thermal else "visible",
                outdoor=outdoor,
                seed=int(rng.integers(1 << 31)),
                pitch=float(rng.uniform(0.0, 0.42)),
                person_pixels=(float(low), float(low * rng.uniform(1.4, 2.4))),
                blur=float(rng.uniform(0.3, 0.9)),
                noise=float(rng.uniform(0.006, 0.024)),
                gain=float(rng.uniform(0.75, 1.2)),
                level=float(rng.uniform(-0.1, 0.1)),
                tint=tuple(float(t) for t in rng.uniform(0.94, 1.06, 3)),  # type: ignore[arg-type]  # three by construction
                fixed_pattern=float(rng.uniform(0.002, 0.014)),
                inverted=bool(thermal and rng.random() < 0.15),
                air=(float(air), float(air + rng.uniform(1, 5))),
                framing=float(rng.uniform(1.0, 1.15)),
            )
        )
    return cameras


_GRAINS = np.random.default_rng(7).standard_normal((1024, 1024, 3)).astype(np.float32)


def _grain(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Gaussian noise of standard deviation 1, cut from a bank: drawing it anew would take longest of all."""
    y, x = (int(rng.integers(0, 1024 - side + 1)) for side in shape[:2])
    cut = _GRAINS[y : y + shape[0], x : x + shape[1]]
    return cut if len(shape) == 3 else cut[..., int(rng.integers(3))]


def sense_visible(
    camera: Camera, light: NDArray[np.float32], rng: np.random.Generator, exposure: float
) -> NDArray[np.uint8]:
    """From light `(h, w, 3)` 0..255 at the sensor's resolution to its picture."""
    blurred = cv2.GaussianBlur(light, (0, 0), camera.blur)
    scaled = (blurred - 118) * (camera.gain * exposure) + (118 + 255 * camera.level + 60 * (exposure - 1))
    noisy = scaled * np.array(camera.tint, np.float32) + _grain(light.shape, rng) * np.float32(255 * camera.noise)
    return np.asarray(np.clip(noisy, 0, 255).astype(np.uint8))


def sense_thermal(
    camera: Camera,
    kelvins: NDArray[np.float32],
    rng: np.random.Generator,
    span: tuple[float, float],
    corner: tuple[int, int] = (0, 0),
) -> NDArray[np.uint8]:
    """From kelvins above the air `(h, w)` at the sensor's resolution to its picture.

    `span` maps to black and white; `corner` is where on the sensor, (row, column), the picture was cut out.
    """
    blurred = cv2.GaussianBlur(kelvins, (0, 0), camera.blur * 1.3)
    share = (blurred - span[0]) / (span[1] - span[0])
    y, x = corner
    pattern = camera.pattern[y : y + kelvins.shape[0], x : x + kelvins.shape[1]]
    share = share + camera.fixed_pattern * pattern + camera.noise * _grain(kelvins.shape, rng)
    picture = np.clip(share * 255, 0, 255).astype(np.uint8)
    return np.asarray(255 - picture if camera.inverted else picture)
