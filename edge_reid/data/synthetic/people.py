"""Who a synthetic person is: one draw of body, hair, clothes and load.

Lengths are fractions of the stature. Colours and patterns exist for visible cameras only; what both kinds of camera see
is shape (proportions, cuts, hems, load) and the boundary between garments, skin and hair.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]  # BGR, 0..255

HAIR = ("bald", "short", "bob", "long", "ponytail", "bun", "curly")
HEADWEAR = ("none", "cap", "beanie", "brim", "hood", "headscarf")
SLEEVE = ("none", "short", "long")
NECK = ("crew", "v", "turtle", "hooded")
COAT = ("none", "vest", "jacket", "parka", "long")
BOTTOM = ("slim", "straight", "wide", "cropped", "shorts", "short skirt", "long skirt")
SHOES = ("low", "sneaker", "boot", "sandal")
BAG = ("none", "backpack", "shoulder", "crossbody", "tote", "suitcase")
PATTERN = ("plain", "hoops", "stripes", "checks", "dots", "print", "block")

_CLOTH: tuple[Color, ...] = (
    (28, 26, 26), (62, 44, 34), (92, 88, 86), (150, 148, 146), (232, 232, 230), (120, 160, 190), (52, 82, 120),
    (110, 74, 46), (150, 102, 62), (40, 40, 170), (60, 110, 50), (70, 200, 225), (170, 120, 200), (60, 120, 220),
    (130, 130, 60), (70, 30, 90), (190, 170, 140), (84, 98, 108),
)  # fmt: skip
_SKIN: tuple[Color, ...] = (
    (190, 210, 240),
    (160, 185, 225),
    (130, 160, 205),
    (90, 120, 170),
    (60, 85, 125),
    (42, 58, 88),
)
_HAIR_COLORS: tuple[Color, ...] = (
    (18, 18, 20),
    (30, 40, 56),
    (42, 66, 100),
    (80, 130, 180),
    (160, 165, 170),
    (36, 52, 130),
)


@dataclass(frozen=True, kw_only=True)
class Body:
    """Proportions; lengths are fractions of the stature."""

    stature: float  # metres
    girth: float  # 1 = average thickness of trunk and limbs
    shoulders: float  # half width
    hips: float  # half width
    leg: float  # height of the hip joint
    belly: float  # extra half depth at the waist
    stoop: float  # forward lean of the trunk, radians
    stride: float  # swing of the thigh, radians
    arm_swing: float
    head: float  # scale of the head


@dataclass(frozen=True, kw_only=True)
class Clothes:
    """Hair, garments and load: categories are indices into the tuples above, lengths fractions of the stature."""

    hair: int
    headwear: int
    sleeve: int
    sleeve_end: float  # covered part of the arm, 0..1
    neck: int
    top_hem: float  # below the waist
    coat: int
    coat_hem: float  # below the waist
    coat_open: bool
    bottom: int
    bottom_end: float  # covered part of the leg, 0..1
    looseness: float  # extra radius of the trousers
    shoes: int
    boot_height: float
    bag: int
    bag_side: int  # -1 right, +1 left
    bag_size: float
    scarf: bool
    gloves: bool
    glasses: bool


@dataclass(frozen=True, kw_only=True)
class Person:
    """One identity: its shape, which both kinds of camera see, and what only one kind sees."""

    body: Body
    clothes: Clothes
    # what visible cameras see
    pattern: int
    pattern_seed: int
    bottom_pattern: int
    colors: dict[str, Color]
    # what thermal cameras see: share of the body's heat that each garment keeps in, 0 bare .. 1 ambient
    insulation: dict[str, float]

    def attributes(self) -> dict[str, tuple[int, int]]:
        """Name -> (value, number of values): what both modalities can tell, for the auxiliary task of training."""
        body, clothes = self.body, self.clothes
        thirds = {
            "build": (body.girth, 0.93, 1.08),
            "legs": (body.leg, 0.513, 0.527),
            "shoulder": (body.shoulders, 0.108, 0.122),
            "head_size": (body.head, 0.97, 1.04),
            "belly": (body.belly, 0.012, 0.03),
            "swing": (body.stride, 0.38, 0.46),
            "bag_size": (clothes.bag_size, 0.92, 1.08),
            "coat_hem": (clothes.coat_hem, 0.06, 0.17),
            "top_hem": (clothes.top_hem, 0.03, 0.075),
            "bottom_end": (clothes.bottom_end, 0.5, 0.8),
            "sleeve_end": (clothes.sleeve_end, 0.3, 0.7),
        }
        values = {name: (int(value > low) + int(value > high), 3) for name, (value, low, high) in thirds.items()}
        categories = {
            "hair": HAIR, "headwear": HEADWEAR, "sleeve": SLEEVE, "neck": NECK, "coat": COAT, "bottom": BOTTOM,
            "shoes": SHOES, "bag": BAG,
        }  # fmt: skip
        for name, choices in categories.items():
            values[name] = (int(getattr(clothes, name)), len(choices))
        for name in ("coat_open", "scarf", "gloves", "glasses"):
            values[name] = (int(getattr(clothes, name)), 2)
        values["bag_left"] = (int(clothes.bag_side > 0), 2)
        return values


def draw_person(rng: np.random.Generator) -> Person:
    """Draw an identity; the same generator state gives the same person."""
    body = _draw_body(rng)
    clothes = _draw_clothes(rng)

    def pick(palette: tuple[Color, ...]) -> Color:
        return palette[int(rng.integers(len(palette)))]

    colors = {name: pick(_CLOTH) for name in ("top", "second", "coat", "bottom", "hat", "bag", "scarf")}
    colors |= {"skin": pick(_SKIN), "hair": pick(_HAIR_COLORS), "shoes": pick(_CLOTH[:8])}
    insulation = {
        "top": rng.uniform(0.28, 0.62) if clothes.sleeve < 2 else rng.uniform(0.4, 0.78),
        "coat": rng.uniform(0.66, 0.95), "bottom": rng.uniform(0.3, 0.75), "hat": rng.uniform(0.45, 0.9),
        "shoes": rng.uniform(0.5, 0.9), "scarf": rng.uniform(0.6, 0.9), "hair": rng.uniform(0.35, 0.62),
        "bag": rng.uniform(0.88, 1.02), "glove": rng.uniform(0.5, 0.8),
    }  # fmt: skip
    return Person(
        body=body,
        clothes=clothes,
        pattern=int(rng.choice(len(PATTERN), p=(0.46, 0.1, 0.07, 0.1, 0.06, 0.12, 0.09))),
        pattern_seed=int(rng.integers(1 << 30)),
        bottom_pattern=int(rng.choice(2, p=(0.75, 0.25))),
        colors=colors,
        insulation={name: float(value) for name, value in insulation.items()},
    )


def _draw_body(rng: np.random.Generator) -> Body:
    girth = float(np.clip(rng.normal(1.0, 0.13), 0.74, 1.42))
    return Body(
        stature=float(np.clip(rng.normal(1.71, 0.095), 1.48, 1.98)),
        girth=girth,
        shoulders=float(np.clip(rng.normal(0.115, 0.011) * (0.7 + 0.3 * girth), 0.09, 0.145)),
        hips=float(np.clip(rng.normal(0.086, 0.009) * (0.6 + 0.4 * girth), 0.066, 0.12)),
        leg=float(np.clip(rng.normal(0.52, 0.012), 0.49, 0.55)),
        belly=float(max(0.0, rng.normal(0.018, 0.016) + 0.06 * max(0.0, girth - 1.05))),
        stoop=float(np.clip(rng.normal(0.03, 0.05), -0.04, 0.2)),
        stride=float(np.clip(rng.normal(0.42, 0.07), 0.25, 0.62)),
        arm_swing=float(np.clip(rng.normal(0.38, 0.13), 0.06, 0.75)),
        head=float(np.clip(rng.normal(1.0, 0.05), 0.88, 1.14)),
    )


def _choose(rng: np.random.Generator, weights: tuple[float, ...]) -> int:
    return int(rng.choice(len(weights), p=weights))


def _draw_clothes(rng: np.random.Generator) -> Clothes:
    sleeve = _choose(rng, (0.12, 0.4, 0.48))
    bottom = _choose(rng, (0.2, 0.2, 0.14, 0.11, 0.14, 0.1, 0.11))
    end = {
        3: rng.uniform(0.62, 0.82),
        4: rng.uniform(0.3, 0.52),
        5: rng.uniform(0.28, 0.48),
        6: rng.uniform(0.58, 0.95),
    }
    coat = _choose(rng, (0.48, 0.1, 0.18, 0.12, 0.12))
    hem = {
        1: rng.uniform(0.0, 0.05),
        2: rng.uniform(-0.01, 0.07),
        3: rng.uniform(0.09, 0.17),
        4: rng.uniform(0.19, 0.33),
    }
    loose = (0.004, 0.014, 0.026, 0.01, 0.02, 0.0, 0.0)[bottom]
    return Clothes(
        hair=_choose(rng, (0.08, 0.3, 0.16, 0.18, 0.11, 0.07, 0.1)),
        headwear=_choose(rng, (0.56, 0.13, 0.11, 0.06, 0.08, 0.06)),
        sleeve=sleeve,
        sleeve_end=float((0.0, rng.uniform(0.26, 0.56), rng.uniform(0.82, 1.0))[sleeve]),
        neck=_choose(rng, (0.45, 0.2, 0.13, 0.22)),
        top_hem=float(rng.uniform(-0.02, 0.12)),
        coat=coat,
        coat_hem=float(hem.get(coat, 0.0)),
        coat_open=bool(coat > 0 and rng.random() < 0.4),
        bottom=bottom,
        bottom_end=float(end.get(bottom, rng.uniform(0.92, 1.0))),
        looseness=float(loose * rng.uniform(0.7, 1.4)),
        shoes=_choose(rng, (0.3, 0.38, 0.2, 0.12)),
        boot_height=float(rng.uniform(0.08, 0.2)),
        bag=_choose(rng, (0.36, 0.2, 0.14, 0.12, 0.11, 0.07)),
        bag_side=int(rng.choice((-1, 1))),
        bag_size=float(np.clip(rng.normal(1.0, 0.15), 0.7, 1.4)),
        scarf=bool(rng.random() < 0.13),
        gloves=bool(rng.random() < 0.1),
        glasses=bool(rng.random() < 0.18),
    )


def pattern_tile(person: Person) -> NDArray[np.float32]:
    """The pattern of the top: `(64, 64)` in 0..1, the share of the second colour at each place of the trunk."""
    rng = np.random.default_rng(person.pattern_seed)
    y, x = np.mgrid[0:64, 0:64].astype(np.float32)
    period = float(rng.choice((8, 12, 16, 21)))
    kind = PATTERN[person.pattern]
    if kind == "hoops":
        tile = (np.mod(y, period) < period * rng.uniform(0.3, 0.6)).astype(np.float32)
    elif kind == "stripes":
        tile = (np.mod(x, period) < period * rng.uniform(0.2, 0.5)).astype(np.float32)
    elif kind == "checks":
        tile = 0.5 * (np.mod(x, period) < period / 2) + 0.5 * (np.mod(y, period) < period / 2)
    elif kind == "dots":
        tile = (
            (np.mod(x, period) - period / 2) ** 2 + (np.mod(y, period) - period / 2) ** 2 < (period / 3.4) ** 2
        ) * 1.0
    elif kind == "print":
        tile = (((x - 32) / rng.uniform(9, 17)) ** 2 + ((y - rng.uniform(18, 30)) / rng.uniform(6, 12)) ** 2 < 1) * 1.0
    elif kind == "block":
        tile = (y < rng.uniform(16, 40)) * 1.0
    else:
        tile = np.zeros((64, 64))
    return np.asarray(tile, dtype=np.float32)
