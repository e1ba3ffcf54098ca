"""What a camera receives from a drawn person: colour for visible cameras, heat for thermal ones.

Shapes: the canvas is drawn at `SUPERSAMPLING` times the picture's height H and width W and reduced by area, which is
the anti-aliasing. Foregrounds are premultiplied by their coverage.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.data.synthetic.body import Pose, Viewpoint
from edge_reid.data.synthetic.canvas import Canvas, Material
from edge_reid.data.synthetic.people import Person, pattern_tile

SUPERSAMPLING = 2
PARTS = ("background", "head", "upper", "lower", "shoes", "bag")

_PART_OF = {
    Material.FACE: 1, Material.HAIR: 1, Material.HAT: 1, Material.GLASSES: 1, Material.FEATURE: 1, Material.SKIN: 2,
    Material.TOP: 2, Material.COAT: 2, Material.COAT_EDGE: 2, Material.SCARF: 2, Material.GLOVE: 2, Material.BOTTOM: 3,
    Material.SKIN_LEG: 3, Material.SHOES: 4, Material.SOLE: 4, Material.BAG: 5,
}  # fmt: skip
_PART_TABLE = np.zeros(256, np.uint8)
for _material, _part in _PART_OF.items():
    _PART_TABLE[_material] = _part


def _noise_bank() -> NDArray[np.uint8]:
    """Smooth noise around 128, `(1024, 1024)`: folds of cloth; drawn once, cut at random places."""
    rng = np.random.default_rng(20240601)
    layers = [(48, 30.0), (110, 16.0)]
    total = np.zeros((1024, 1024), np.float32)
    for cells, strength in layers:
        noise = rng.standard_normal((cells // 2, cells)).astype(np.float32)  # folds run longer down than across
        total += strength * cv2.resize(noise, (1024, 1024), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + total, 0, 255).astype(np.uint8)


_FOLDS = _noise_bank()


def _folds(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.uint8]:
    y, x = (int(rng.integers(0, 1024 - side + 1)) for side in shape[:2])
    return _FOLDS[y : y + shape[0], x : x + shape[1]]


def _lit(canvas: Canvas, rng: np.random.Generator, folds: float) -> NDArray[np.uint8]:
    """Shade 0..255 with soft edges and folds of strength `folds` (0..1)."""
    height = canvas.shade.shape[0]
    side = max(3, int(height * 0.012) | 1)
    soft = cv2.blur(cv2.blur(canvas.shade, (side, side)), (side, side))
    wrinkled = cv2.addWeighted(soft, 1.0, _folds(soft.shape, rng), folds, -128.0 * folds)
    return np.asarray(wrinkled, dtype=np.uint8)


def _reduce(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[0] // SUPERSAMPLING, image.shape[1] // SUPERSAMPLING
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))


def coverage(canvas: Canvas) -> NDArray[np.uint8]:
    """`(H, W)`: how much of each pixel the person covers, 0..255."""
    return _reduce(np.asarray(cv2.threshold(canvas.material, 0, 255, cv2.THRESH_BINARY)[1], dtype=np.uint8))


def parts(canvas: Canvas) -> NDArray[np.uint8]:
    """`(H, W)` part labels, indices into `PARTS`."""
    return _PART_TABLE[canvas.material[::SUPERSAMPLING, ::SUPERSAMPLING]]


def visible(person: Person, pose: Pose, view: Viewpoint, canvas: Canvas, rng: np.random.Generator) -> NDArray[np.uint8]:
    """`(H, W, 3)` BGR, premultiplied."""
    colors, table = person.colors, np.zeros((256, 3), np.uint8)
    skin, hair = np.array(colors["skin"]), np.array(colors["hair"])
    for material, color in (
        (Material.FACE, skin), (Material.SKIN, skin), (Material.SKIN_LEG, skin * 0.97), (Material.HAIR, hair),
        (Material.HAT, colors["hat"]), (Material.TOP, colors["top"]), (Material.COAT, colors["coat"]),
        (Material.COAT_EDGE, np.array(colors["coat"]) * 0.45), (Material.BOTTOM, colors["bottom"]),
        (Material.SHOES, colors["shoes"]), (Material.SOLE, (215, 215, 215)), (Material.BAG, colors["bag"]),
        (Material.SCARF, colors["scarf"]), (Material.GLOVE, (40, 38, 38)), (Material.GLASSES, (30, 28, 26)),
        (Material.FEATURE, skin * 0.38),
    ):  # fmt: skip
        table[material] = np.asarray(color, dtype=np.float64).clip(1, 255).astype(np.uint8)
    albedo = np.asarray(cv2.LUT(cv2.merge([canvas.material] * 3), table[None]), dtype=np.uint8)
    if person.pattern:
        _print_pattern(albedo, person, pose, view, canvas)
    shade = _lit(canvas, rng, 0.5 if person.bottom_pattern else 0.34)
    lit = cv2.multiply(albedo, cv2.merge([shade, shade, shade]), scale=1 / 235)
    return _reduce(np.asarray(lit, dtype=np.uint8))


def _print_pattern(albedo: NDArray[np.uint8], person: Person, pose: Pose, view: Viewpoint, canvas: Canvas) -> None:
    """Blend the second colour into the top of `albedo`, in place; the pattern turns with the trunk."""
    top, bottom = np.array(view.project(pose.chest)[:2]), np.array(view.project(pose.pelvis)[:2])
    down = (bottom - top) / 64
    half = view.half_width(person.body.shoulders, 0.06) / 32
    across = np.array([half, 0.0])
    around = 32 * np.sin(view.turn)  # seen from the side, its middle lies at the edge
    origin = top - across * (32 - around)
    placing = np.array([[across[0], down[0], origin[0]], [across[1], down[1], origin[1]]])
    tile = (pattern_tile(person) * 255).astype(np.uint8)
    reach = 0.34 * view.scale
    left, right = max(0, int(top[0] - reach)), max(1, int(top[0] + reach))
    above, below = max(0, int(top[1] - 0.5 * reach)), max(1, int(bottom[1] + 0.6 * reach))
    region = (slice(above, below), slice(left, right))
    material = canvas.material[region]
    placing[:, 2] -= (left, above)
    placed = cv2.warpAffine(tile, placing, material.shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    share = np.where(material == Material.TOP, placed, 0).astype(np.float32)[..., None] / 255
    blended = albedo[region] + (np.array(person.colors["second"], np.float32) - albedo[region]) * share
    albedo[region] = blended.astype(np.uint8)


def heat(person: Person, canvas: Canvas, rng: np.random.Generator) -> NDArray[np.float32]:
    """`(H, W)` premultiplied heat: 0 is the temperature of the air, 1 that of warm skin."""
    keeps = person.insulation
    hands = rng.uniform(0.45, 0.95)  # hands and face cool down outside: no identity in them
    face = rng.uniform(0.88, 1.0)
    worn = rng.uniform(0.9, 1.1)  # just came in, or stood in the wind: all clothes shift together
    table = np.zeros(256, np.float32)
    for material, value in (
        (Material.FACE, face), (Material.SKIN, 0.45 * face + 0.5 * hands), (Material.SKIN_LEG, 0.8 * face),
        (Material.HAIR, 1 - keeps["hair"]), (Material.HAT, 1 - keeps["hat"]), (Material.TOP, (1 - keeps["top"]) * worn),
        (Material.COAT, (1 - keeps["coat"]) * worn), (Material.COAT_EDGE, (1 - keeps["coat"]) * 1.3),
        (Material.BOTTOM, (1 - keeps["bottom"]) * worn), (Material.SHOES, 1 - keeps["shoes"]), (Material.SOLE, 0.15),
        (Material.BAG, 1 - keeps["bag"]), (Material.SCARF, 1 - keeps["scarf"]), (Material.GLOVE, 1 - keeps["glove"]),
        (Material.GLASSES, 0.3), (Material.FEATURE, face * 0.97),
    ):  # fmt: skip
        table[material] = value
    warmth = cv2.LUT(canvas.material, np.clip(40 + table * 190, 0, 255).astype(np.uint8))
    shade = _lit(canvas, rng, 0.22)
    # seen at a grazing angle skin and cloth emit less: a weaker version of the light's shading
    grazed = cv2.multiply(warmth, cv2.addWeighted(shade, 0.35, shade, 0.0, 160.0), scale=1 / 245)
    grazed = cv2.bitwise_and(grazed, grazed, mask=canvas.material)
    small = _reduce(np.asarray(grazed, dtype=np.uint8)).astype(np.float32)
    return np.asarray((small - 40.0 * coverage(canvas).astype(np.float32) / 255) / 190, dtype=np.float32)
