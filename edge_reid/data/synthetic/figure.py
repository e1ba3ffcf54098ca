"""A person in a pose from a viewpoint, drawn as material and shade, far parts first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_reid.data.synthetic.body import Point, Pose, Viewpoint
from edge_reid.data.synthetic.canvas import Canvas, Material
from edge_reid.data.synthetic.drawing import Figure, Layer
from edge_reid.data.synthetic.people import BOTTOM, COAT, NECK, SHOES, Person
from edge_reid.data.synthetic.wear import draw_head, draw_load


def draw_figure(person: Person, pose: Pose, view: Viewpoint, size: tuple[int, int], light: float) -> Canvas:
    """Draw onto a fresh canvas of `size` = (height, width) pixels; `light` from -1 (left) to 1 (right)."""
    figure = Figure(person, pose, view, Canvas(*size, light))
    layers: list[Layer] = []
    for side in (0, 1):
        layers += _leg(figure, side)
        layers += _arm(figure, side)
    layers.append((figure.depth(pose.pelvis, pose.chest), lambda: _trunk(figure)))
    layers += draw_head(figure)
    layers += draw_load(figure)
    for _, draw in sorted(layers, key=lambda layer: layer[0]):
        draw()
    return figure.canvas


def _between(a: Point, b: Point, share: float) -> Point:
    return np.asarray(a + (b - a) * share)


def _leg(f: Figure, side: int) -> list[Layer]:
    hip, knee, ankle = f.pose.hip[side], f.pose.knee[side], f.pose.ankle[side]
    person, girth = f.person, f.person.body.girth
    thick = [f.pixels(r * (0.5 + 0.5 * girth)) for r in (0.056, 0.036, 0.023)]
    loose = f.pixels(person.clothes.looseness)
    trousers = BOTTOM[person.clothes.bottom] not in ("short skirt", "long skirt")

    def draw() -> None:
        canvas = f.canvas
        canvas.limb(f.at(knee), f.at(ankle), thick[1], thick[2], Material.SKIN_LEG, 0.92)
        canvas.limb(f.at(hip), f.at(knee), thick[0], thick[1] * 1.05, Material.SKIN_LEG)
        _shoe(f, side)
        if trousers:
            end = person.clothes.bottom_end
            thigh_end, shank_end = min(1.0, end / 0.5), max(0.0, (end - 0.5) / 0.5)
            if shank_end > 0:
                stop = _between(knee, ankle, shank_end)
                radius = (
                    thick[1] + (thick[2] - thick[1]) * shank_end + loose * (1.25 if person.clothes.bottom == 2 else 0.9)
                )
                canvas.limb(f.at(knee), f.at(stop), thick[1] * 1.04 + loose * 0.8, radius, Material.BOTTOM, 0.93)
            stop = _between(hip, knee, thigh_end)
            canvas.limb(f.at(hip), f.at(stop), thick[0] + loose * 0.6, thick[1] * 1.06 + loose * 0.85, Material.BOTTOM)

    # skirts and coats hang over the legs: however far forward a leg swings, the trunk is drawn after it
    return [
        (
            min(f.depth(hip, ankle), f.depth(f.pose.pelvis, f.pose.chest)) - 0.02 + 0.01 * np.tanh(f.depth(hip, ankle)),
            draw,
        )
    ]


def _shoe(f: Figure, side: int) -> None:
    ankle, toe, knee = f.pose.ankle[side], f.pose.toe[side], f.pose.knee[side]
    heel = ankle + (ankle - toe) * 0.3 * np.array([1, 0, 1]) + np.array([0.0, -0.022, 0.0])
    kind = SHOES[f.person.clothes.shoes]
    if kind == "boot":
        stop = _between(ankle, knee, min(0.85, f.person.clothes.boot_height / 0.24))
        f.canvas.limb(f.at(stop), f.at(ankle), f.pixels(0.034), f.pixels(0.028), Material.SHOES, 0.9)
    ball, sole = toe + np.array([0, 0.008, 0]), np.array([0.0, -0.012, 0.0])
    if kind == "sneaker":
        f.canvas.limb(f.at(heel + sole), f.at(toe + sole), f.pixels(0.02), f.pixels(0.017), Material.SOLE)
    radius = 0.024 if kind != "low" else 0.02
    material = Material.SKIN_LEG if kind == "sandal" else Material.SHOES
    f.canvas.limb(f.at(heel), f.at(ball), f.pixels(radius), f.pixels(radius * 0.78), material)
    if kind == "sandal":
        f.canvas.limb(f.at(heel + sole), f.at(toe + sole), f.pixels(0.012), f.pixels(0.012), Material.SHOES)


def _arm(f: Figure, side: int) -> list[Layer]:
    shoulder, elbow, wrist, hand = (getattr(f.pose, name)[side] for name in ("shoulder", "elbow", "wrist", "hand"))
    person = f.person
    girth = 0.45 + 0.55 * person.body.girth
    radii = [f.pixels(r * girth) for r in (0.034, 0.025, 0.018)]
    coat = COAT[person.clothes.coat]

    def cover(material: Material, end: float, extra: float) -> None:
        upper, lower = min(1.0, end / 0.53), max(0.0, (end - 0.53) / 0.47)
        if lower > 0:
            f.canvas.limb(
                f.at(elbow), f.at(_between(elbow, wrist, lower)), radii[1] + extra, radii[2] + extra, material
            )
        stop = _between(shoulder, elbow, upper)
        f.canvas.limb(f.at(shoulder), f.at(stop), radii[0] + extra * 1.1, radii[1] + extra * 1.1, material)

    def draw() -> None:
        palm = Material.GLOVE if person.clothes.gloves else Material.SKIN
        f.canvas.limb(f.at(wrist), f.at(hand), f.pixels(0.016), f.pixels(0.019), palm)
        f.canvas.limb(f.at(elbow), f.at(wrist), radii[1], radii[2], Material.SKIN)
        f.canvas.limb(f.at(shoulder), f.at(elbow), radii[0], radii[1], Material.SKIN)
        if person.clothes.sleeve_end > 0:
            cover(Material.TOP, person.clothes.sleeve_end, f.pixels(0.004 if person.clothes.sleeve == 2 else 0.008))
        if coat not in ("none", "vest"):
            cover(Material.COAT, 0.97, f.pixels({"jacket": 0.009, "parka": 0.017, "long": 0.011}[coat]))

    return [(f.depth(shoulder, hand) + 0.012, draw)]


def _profile(f: Figure, heights: NDArray[np.float64], extra: float, flare: float = 0.0) -> NDArray[np.float64]:
    """Half widths `(N,)` in pixels of the clothed trunk at heights above the pelvis; `extra` statures of cloth."""
    p = f.person
    top = 0.815 - p.body.leg
    g = 0.35 + 0.65 * p.body.girth
    levels = np.array([-0.5, -0.09, 0.0, 0.1, 0.2, top - 0.02, top + 0.02, top + 0.045])
    lateral = np.array(
        [
            p.body.hips * 1.02,
            p.body.hips * 1.02,
            p.body.hips,
            p.body.hips * 0.5 + 0.041 * g,
            0.045 + 0.5 * p.body.shoulders * g,
            p.body.shoulders,
            p.body.shoulders * 0.66,
            0.034,
        ]
    )
    sagittal = np.array(
        [
            0.072 * g,
            0.072 * g,
            0.07 * g,
            0.06 * g + p.body.belly,
            0.068 * g + 0.4 * p.body.belly,
            0.058 * g,
            0.045,
            0.034,
        ]
    )
    widths = np.array([f.view.half_width(a + extra, b + extra) for a, b in zip(lateral, sagittal, strict=True)])
    spread = f.pixels(flare) * np.clip(-heights / 0.3, 0.0, 1.4)
    return np.asarray(np.interp(heights, levels, widths) + spread)


def _trunk(f: Figure) -> None:
    p, canvas = f.person, f.canvas
    top = 0.815 - p.body.leg
    pelvis = np.linspace(0.06, -0.075, 5)
    canvas.outline(f.trunk(pelvis), _profile(f, pelvis, 0.004 + 0.3 * p.clothes.looseness), Material.BOTTOM)
    if "skirt" in BOTTOM[p.clothes.bottom]:
        fall = np.linspace(0.07, -p.clothes.bottom_end * (p.body.leg - 0.05), 6)
        sway = abs(f.view.project(f.pose.knee[0])[0] - f.view.project(f.pose.knee[1])[0]) * 0.35
        spread = _profile(f, fall, 0.01, 0.05) + sway * np.clip(-fall / 0.25, 0, 1)
        canvas.outline(f.trunk(fall), spread, Material.BOTTOM)
    canvas.limb(f.at(f.pose.neck), f.at(f.pose.head), f.pixels(0.032), f.pixels(0.03), Material.FACE, 0.85)
    body = np.concatenate([[top + 0.045, top + 0.02], np.linspace(top - 0.02, 0.1 - p.clothes.top_hem, 6)])
    canvas.outline(f.trunk(body), _profile(f, body, 0.006), Material.TOP)
    _neckline(f)
    if COAT[p.clothes.coat] != "none":
        _coat(f, top)
    if p.clothes.scarf:
        u, v = f.at(f.pose.neck)
        canvas.ellipse((u, v - f.pixels(0.004)), (f.view.half_width(0.062, 0.058), f.pixels(0.034)), Material.SCARF)
        if f.facing > -0.2:
            end = f.pose.chest + np.array([0.03, -0.15, 0.07])
            canvas.limb((u, v), f.at(end), f.pixels(0.022), f.pixels(0.024), Material.SCARF)


def _neckline(f: Figure) -> None:
    u, v = f.at(f.pose.neck)
    kind = NECK[f.person.clothes.neck]
    if kind == "turtle":
        f.canvas.limb((u, v), (u, v - f.pixels(0.035)), f.pixels(0.038), f.pixels(0.035), Material.TOP)
    elif kind == "hooded":
        behind = f.pose.neck + np.array([0.0, 0.0, -0.04])
        x, y = f.at(behind)
        wide = f.view.half_width(0.075, 0.045)
        f.canvas.ellipse(
            (x, y - f.pixels(0.004)), (wide, f.pixels(0.03 if f.facing > 0 else 0.048)), Material.TOP, dim=0.85
        )
    elif f.facing > 0.1:
        deep = 0.065 if kind == "v" else 0.022
        side = f.view.half_width(0.03, 0.01)
        tip = f.at(f.pose.chest + np.array([0.0, 0.02 - deep, 0.06]))
        f.canvas.polygon(np.array([(u - side, v), (u + side, v), tip]), Material.FACE)


def _coat(f: Figure, top: float) -> None:
    p, kind = f.person, COAT[f.person.clothes.coat]
    thick = {"vest": 0.014, "jacket": 0.012, "parka": 0.022, "long": 0.014}[kind]
    fall = np.concatenate(
        [[top + 0.04, top + 0.02], np.linspace(top - 0.02, 0.0, 5), [-0.5 * p.clothes.coat_hem, -p.clothes.coat_hem]]
    )
    widths = _profile(f, fall, thick, 0.04 if kind == "long" else 0.0)
    f.canvas.outline(f.trunk(fall), widths, Material.COAT)
    front = f.facing
    if front < 0.15:
        return
    shift = np.sin(f.view.turn) * f.pixels(0.06)
    spine = f.trunk(fall) + np.array([shift, 0.0])
    if p.clothes.coat_open:
        gap = widths * 0.36 * front
        f.canvas.outline(spine[1:6], gap[1:6], Material.TOP, 0.92)
        f.canvas.outline(spine[5:], gap[5:], Material.BOTTOM, 0.88)
    else:
        f.canvas.stroke(spine, Material.COAT_EDGE, f.pixels(0.006))
