"""How a person stands: joints in space for a phase of the walk, and where a camera sees them.

Own frame of a person: x to their left, y up, z forward, in fractions of the stature, the ground at y = 0. A view is the
angle by which they are turned: 0 faces the camera, pi/2 walks to the right of the picture, pi shows the back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_reid.data.synthetic.people import Person

Point = NDArray[np.float64]  # (3,)

THIGH_SHARE = 0.51  # of the leg from hip to ankle
ANKLE = 0.042
UPPER_ARM, FOREARM, HAND = 0.168, 0.145, 0.05
SHOULDER_HEIGHT, HEAD_HEIGHT = 0.815, 0.932


@dataclass(frozen=True)
class Pose:
    """Joints `(3,)` each; index 0 is the right side, 1 the left."""

    hip: list[Point]
    knee: list[Point]
    ankle: list[Point]
    toe: list[Point]
    shoulder: list[Point]
    elbow: list[Point]
    wrist: list[Point]
    hand: list[Point]
    pelvis: Point
    chest: Point
    neck: Point
    head: Point


def pose(person: Person, phase: float, effort: float = 1.0, *, carrying: int = 0) -> Pose:
    """The walk at `phase` (radians, one cycle 2 pi); `effort` 0 stands, 1 walks; side `carrying` keeps its arm down."""
    swing = person.body.stride * effort
    length = person.body.leg - ANKLE
    lower: dict[str, list[Point]] = {name: [] for name in ("hip", "knee", "ankle", "toe")}
    for side in (0, 1):
        angle = phase + np.pi * side
        thigh = swing * np.sin(angle)
        shank = thigh - (0.08 + 1.7 * swing * max(0.0, float(np.cos(angle))))  # the knee bends as the leg comes forward
        hip = np.array([(2 * side - 1) * person.body.hips * 0.55, person.body.leg, 0.0])
        knee = hip + length * THIGH_SHARE * np.array([0.0, -np.cos(thigh), np.sin(thigh)])
        ankle = knee + length * (1 - THIGH_SHARE) * np.array([0.0, -np.cos(shank), np.sin(shank)])
        tilt = 0.5 * shank  # the foot follows the shank half way
        toe = ankle + np.array([(2 * side - 1) * 0.012, -0.03 + 0.1 * np.sin(tilt), 0.105 * np.cos(tilt)])
        for name, joint in zip(lower, (hip, knee, ankle, toe), strict=True):
            lower[name].append(joint)
    drop = min(joint[1] for joint in lower["ankle"]) - ANKLE  # the lower foot stands on the ground
    for joints in lower.values():
        for joint in joints:
            joint[1] -= drop

    lean = np.array([0.0, np.cos(person.body.stoop), np.sin(person.body.stoop)])
    pelvis = np.array([0.0, person.body.leg - drop, 0.0])
    chest = pelvis + lean * (SHOULDER_HEIGHT - person.body.leg)
    upper: dict[str, list[Point]] = {name: [] for name in ("shoulder", "elbow", "wrist", "hand")}
    for side in (0, 1):
        sign = 2 * side - 1
        amplitude = 0.04 if carrying == sign else person.body.arm_swing * effort
        arm = -amplitude * np.sin(phase + np.pi * side)
        fore = arm + (0.06 if carrying == sign else 0.16 + 0.5 * max(0.0, float(arm)))
        shoulder = chest + np.array([sign * person.body.shoulders * 0.92, -0.012, 0.0])
        elbow = shoulder + UPPER_ARM * np.array([sign * 0.1 * person.body.girth, -np.cos(arm), np.sin(arm)])
        wrist = elbow + FOREARM * np.array([sign * 0.03, -np.cos(fore), np.sin(fore)])
        hand = wrist + HAND * np.array([0.0, -np.cos(fore), np.sin(fore)])
        for name, joint in zip(upper, (shoulder, elbow, wrist, hand), strict=True):
            upper[name].append(joint)
    neck = chest + lean * 0.04
    head = chest + lean * (HEAD_HEIGHT - SHOULDER_HEIGHT) + np.array([0.0, 0.0, 0.25 * person.body.stoop * 0.12])
    return Pose(**lower, **upper, pelvis=pelvis, chest=chest, neck=neck, head=head)


@dataclass(frozen=True)
class Viewpoint:
    """A camera's view of one person: `turn` and `pitch` in radians, `scale` pixels per stature, `foot` the pixel (u, v)
    of the ground point between the feet."""

    turn: float
    pitch: float
    scale: float
    foot: tuple[float, float]

    def project(self, point: Point) -> tuple[float, float, float]:
        """(u, v, depth): pixels right and down, and nearness to the camera in statures (larger is nearer)."""
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        right = point[0] * cos + point[2] * sin
        near = -point[0] * sin + point[2] * cos
        up = point[1] * np.cos(self.pitch) - near * np.sin(self.pitch)
        return self.foot[0] + self.scale * float(right), self.foot[1] - self.scale * float(up), float(near)

    def half_width(self, lateral: float, sagittal: float) -> float:
        """Pixels: half the apparent width of an upright ellipse with these half axes (statures)."""
        return self.scale * float(np.hypot(lateral * np.cos(self.turn), sagittal * np.sin(self.turn)))
