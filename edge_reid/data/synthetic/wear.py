"""Head and load: hair, headwear, face, glasses, and the bags of a person."""

from __future__ import annotations

import numpy as np

from edge_reid.data.synthetic.canvas import Material
from edge_reid.data.synthetic.drawing import Figure, Layer
from edge_reid.data.synthetic.people import BAG, HAIR, HEADWEAR


def draw_head(f: Figure) -> list[Layer]:
    """Face, hair and headwear as layers of (depth, draw)."""
    hair = HAIR[f.person.clothes.hair]
    layers: list[Layer] = [(f.depth(f.pose.head) + 0.05, lambda: _skull(f))]
    covered = HEADWEAR[f.person.clothes.headwear] in ("hood", "headscarf")
    if hair in ("long", "bob", "ponytail", "bun") and not covered:
        # hair hangs behind the neck: before the trunk when seen from the front, over it from behind
        depth = f.depth(f.pose.head + np.array([0.0, 0.0, -0.11]))
        layers.append((depth, lambda: _hanging_hair(f, hair)))
    return layers


def _half(f: Figure) -> tuple[float, float]:
    """Half width and half height of the skull in pixels."""
    scale = f.person.body.head
    return f.view.half_width(0.047 * scale, 0.057 * scale), f.pixels(0.068 * scale)


def _hanging_hair(f: Figure, kind: str) -> None:
    wide, _ = _half(f)
    head, back = f.pose.head, np.array([0.0, 0.0, -1.0])
    if kind in ("long", "bob"):
        end = f.at(head + np.array([0.0, -0.17 if kind == "long" else -0.085, 0.0]) + back * 0.035)
        f.canvas.limb(
            f.at(head + back * 0.015), end, wide * 1.1, wide * (0.95 if kind == "long" else 1.12), Material.HAIR, 0.9
        )
    elif kind == "ponytail":
        start = f.at(head + back * 0.06 + np.array([0, 0.025, 0]))
        f.canvas.limb(
            start, f.at(head + back * 0.085 + np.array([0, -0.12, 0])), f.pixels(0.021), f.pixels(0.012), Material.HAIR
        )
    else:
        u, v = f.at(head + back * 0.06 + np.array([0, 0.05, 0]))
        f.canvas.ellipse((u, v), (f.pixels(0.03), f.pixels(0.028)), Material.HAIR)


def _skull(f: Figure) -> None:
    canvas, person = f.canvas, f.person
    wide, high = _half(f)
    u, v = f.at(f.pose.head)
    forward = float(np.sin(f.view.turn))
    hair = HAIR[person.clothes.hair]
    if hair == "curly":
        canvas.ellipse((u - 0.1 * forward * wide, v - 0.18 * high), (wide * 1.42, high * 1.12), Material.HAIR)
    canvas.ellipse((u, v), (wide, high), Material.FACE)
    if hair != "bald":
        _scalp(f, u, v, wide, high)
    if f.facing > 0.15 or abs(forward) > 0.75:
        _features(f, u, v, wide, high)
    _headwear(f, u, v, wide, high)


def _scalp(f: Figure, u: float, v: float, wide: float, high: float) -> None:
    """Hair as seen: a cap above the face from the front, a half from the side, all of the skull from behind."""
    forward = float(np.sin(f.view.turn))
    if f.facing < -0.35:
        f.canvas.ellipse((u, v - 0.04 * high), (wide * 1.04, high * 1.0), Material.HAIR)
        return
    f.canvas.ellipse((u - 0.28 * forward * wide, v - 0.42 * high), (wide * 1.05, high * 0.66), Material.HAIR)
    if abs(forward) > 0.4:
        f.canvas.ellipse((u - 0.55 * forward * wide, v - 0.1 * high), (wide * 0.55, high * 0.72), Material.HAIR)
    face = (u + 0.3 * forward * wide, v + 0.32 * high)
    f.canvas.ellipse(face, (wide * 0.78, high * 0.62), Material.FACE)


def _features(f: Figure, u: float, v: float, wide: float, high: float) -> None:
    forward = float(np.sin(f.view.turn))
    center = u + 0.62 * forward * wide
    spread = 0.42 * wide * max(0.0, f.facing)
    eye = v + 0.08 * high
    for side in (-1, 1) if spread > 0 else (0,):
        x = center + side * spread
        if f.person.clothes.glasses:
            f.canvas.ellipse((x, eye), (0.3 * wide, 0.17 * high), Material.GLASSES, dim=0.7)
        else:
            f.canvas.ellipse((x, eye), (0.13 * wide, 0.07 * high), Material.FEATURE, dim=0.7)
    f.canvas.ellipse(
        (center, v + 0.62 * high), (0.22 * wide * max(0.3, f.facing), 0.05 * high), Material.FEATURE, dim=0.8
    )


def _headwear(f: Figure, u: float, v: float, wide: float, high: float) -> None:
    kind, canvas = HEADWEAR[f.person.clothes.headwear], f.canvas
    forward = float(np.sin(f.view.turn))
    if kind in ("cap", "beanie", "brim"):
        drop = {"cap": 0.48, "beanie": 0.42, "brim": 0.5}[kind]
        tall = {"cap": 0.6, "beanie": 0.78, "brim": 0.66}[kind]
        canvas.ellipse((u, v - drop * high), (wide * 1.12, high * tall), Material.HAT)
        if kind == "brim":
            canvas.ellipse((u, v - 0.2 * high), (wide * 1.95, high * 0.17), Material.HAT, dim=0.85)
        if kind == "cap" and f.facing > -0.5:
            peak = (u + 1.15 * forward * wide, v - 0.22 * high + 0.12 * high * max(0.0, f.facing))
            canvas.ellipse(peak, (wide * (0.55 + 0.35 * max(0.0, f.facing)), high * 0.14), Material.HAT, dim=0.75)
    elif kind in ("hood", "headscarf"):
        material = Material.HAT if kind == "headscarf" else (Material.COAT if f.person.clothes.coat else Material.TOP)
        canvas.ellipse((u - 0.12 * forward * wide, v + 0.05 * high), (wide * 1.3, high * 1.22), material)
        lower = (u - 0.1 * forward * wide, v + 0.9 * high)
        canvas.ellipse(lower, (wide * (1.5 if kind == "headscarf" else 1.2), high * 0.6), material)
        if f.facing > -0.25:
            face = (u + 0.42 * forward * wide, v + 0.12 * high)
            canvas.ellipse(face, (wide * 0.74 * max(0.45, f.facing), high * 0.7), Material.FACE)
            _features(f, u, v, wide, high)


def draw_load(f: Figure) -> list[Layer]:
    """The bag of a person as layers of (depth, draw), straps included."""
    kind, size, side = BAG[f.person.clothes.bag], f.person.clothes.bag_size, f.person.clothes.bag_side
    pose, canvas = f.pose, f.canvas
    if kind == "none":
        return []
    if kind == "backpack":
        return _backpack(f)
    if kind in ("shoulder", "crossbody"):
        start = side if kind == "shoulder" else -side
        hip = pose.pelvis + np.array([side * (f.person.body.hips + 0.035), -0.005, 0.015])

        def hang() -> None:
            half = f.view.half_width(0.03 * size, 0.085 * size)
            u, v = f.at(hip)
            box = np.array([(-1, -1), (1, -1), (1.05, 1), (-1.05, 1)]) * (half, f.pixels(0.068 * size))
            canvas.polygon(box + np.array([u, v]), Material.BAG)

        def strap() -> None:
            front = 0.06 if f.facing > 0 else -0.06
            top = pose.chest + np.array([start * f.person.body.shoulders * 0.62, 0.015, 0.0])
            middle = (top + hip) / 2 + np.array([0.0, 0.0, front])
            canvas.stroke(np.array([f.at(top), f.at(middle), f.at(hip)]), Material.BAG, f.pixels(0.014))

        return [(f.depth(hip) + 0.03, hang), (f.depth(pose.pelvis, pose.chest) + 0.001, strap)]
    index = (side + 1) // 2
    hand = pose.hand[index]

    def carry() -> None:
        u, v = f.at(hand)
        if kind == "tote":
            half = f.view.half_width(0.025 * size, 0.1 * size)
            canvas.stroke(
                np.array([(u - half * 0.5, v + f.pixels(0.06)), (u, v), (u + half * 0.5, v + f.pixels(0.06))]),
                Material.BAG,
                f.pixels(0.01),
            )
            box = np.array([(-1, 0), (1, 0), (1.1, 1), (-1.1, 1)]) * (half, f.pixels(0.15 * size)) + (
                u,
                v + f.pixels(0.05),
            )
        else:
            half = f.view.half_width(0.05 * size, 0.1 * size)
            foot = f.at(hand * np.array([1.25, 0.0, 1.0]) + np.array([0.0, 0.02, -0.1]))
            canvas.stroke(np.array([(u, v), (foot[0], foot[1] - f.pixels(0.25 * size))]), Material.SOLE, f.pixels(0.01))
            box = np.array([(-1, -1), (1, -1), (1, 0), (-1, 0)]) * (half, f.pixels(0.29 * size)) + foot
        canvas.polygon(box, Material.BAG)

    return [(f.depth(hand) + 0.02, carry)]


def _backpack(f: Figure) -> list[Layer]:
    size, pose, canvas = f.person.clothes.bag_size, f.pose, f.canvas
    place = (pose.chest + pose.pelvis) / 2 + np.array([0.0, 0.05, -0.105 * (0.8 + 0.2 * size)])

    def pack() -> None:
        u, v = f.at(place)
        half = f.view.half_width(0.085 * size, 0.06 * size)
        tall = f.pixels(0.115 * size)
        spine = np.array([(u, v + tall * t) for t in (-1.0, -0.8, 0.0, 0.85, 1.0)])
        canvas.outline(spine, half * np.array([0.55, 0.9, 1.0, 1.0, 0.8]), Material.BAG)
        if f.facing < -0.3:
            canvas.stroke(
                np.array([(u - half * 0.7, v + tall * 0.2), (u + half * 0.7, v + tall * 0.2)]),
                Material.FEATURE,
                f.pixels(0.007),
            )

    def straps() -> None:
        if f.facing < 0.1:
            return
        for side in (-1, 1):
            points = [
                np.array([side * 0.055, 0.03, 0.02]),
                np.array([side * 0.06, -0.06, 0.07]),
                np.array([side * 0.075, -0.15, 0.04]),
            ]
            canvas.stroke(np.array([f.at(pose.chest + point) for point in points]), Material.BAG, f.pixels(0.018))

    return [(f.depth(place), pack), (f.depth(pose.pelvis, pose.chest) + 0.002, straps)]
