"""A ground plane with two cameras above it, and people who cross it: geometry only, nothing is drawn here.

World: X to the right, Z away from the viewer, metres, the ground at height 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_reid.data.synthetic.body import Viewpoint
from edge_reid.data.synthetic.people import Person

FRAME = (480, 640)  # height, width


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A pinhole camera: place in metres, `yaw` and `pitch` (down) in radians, `focal` in pixels."""

    x: float
    height: float
    z: float
    yaw: float
    pitch: float
    focal: float

    def matrix(self) -> NDArray[np.float64]:
        """`(3, 3)`: homography from ground coordinates (X, Z, 1) to pixels (u, v, 1), up to scale."""
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        right = np.array([cos, -sin, -self.x * cos + self.z * sin])
        ahead = np.array([sin, cos, -self.x * sin - self.z * cos])
        below = np.array([0.0, 0.0, self.height])
        depth = ahead * np.cos(self.pitch) + below * np.sin(self.pitch)
        up = ahead * np.sin(self.pitch) - below * np.cos(self.pitch)
        center = (FRAME[1] / 2, FRAME[0] / 2)
        return np.stack([self.focal * right + center[0] * depth, -self.focal * up + center[1] * depth, depth])

    def view(
        self, person: Person, position: NDArray[np.float64], heading: NDArray[np.float64]
    ) -> tuple[Viewpoint, float]:
        """How this camera sees a person at `position` (X, Z) walking along unit `heading`, and their depth (m)."""
        u, v, depth = self.matrix() @ np.array([position[0], position[1], 1.0])
        towards = np.array([self.x, self.z]) - position
        distance = float(np.hypot(*towards))
        towards = towards / distance
        right = np.array([-towards[1], towards[0]])
        turn = float(np.arctan2(heading @ right, heading @ towards))
        pitch = float(np.arctan2(self.height - 0.5 * person.body.stature, distance))
        scale = float(self.focal * person.body.stature / depth)
        return Viewpoint(turn, pitch, scale, (float(u / depth), float(v / depth))), float(depth)


@dataclass(frozen=True, kw_only=True)
class Walk:
    """One person's crossing: from `start` (X, Z) along unit `heading` at `speed` m/s, from `begin` seconds on."""

    identity: int
    person: Person
    start: NDArray[np.float64]
    heading: NDArray[np.float64]
    length: float
    speed: float
    begin: float
    phase: float

    def at(self, time: float) -> tuple[NDArray[np.float64], float] | None:
        """Position (X, Z) and phase of the walk at `time`; None before and after the crossing."""
        walked = (time - self.begin) * self.speed
        if not 0 <= walked <= self.length:
            return None
        step = (
            0.8 * self.person.body.stature * max(0.3, self.person.body.stride / 0.42)
        )  # metres of one cycle, two steps
        return self.start + self.heading * walked, self.phase + 2 * np.pi * walked / (1.55 * step)


def draw_walks(people: dict[int, Person], seconds: float, rng: np.random.Generator) -> list[Walk]:
    """Let `people` cross one after the other so that four to six are on the ground at most times."""
    walks, lanes = [], np.array([3.4, 8.2, 5.6, 9.6, 4.4, 6.9])
    gap = max(0.5, (seconds - 8.0) / max(1, len(people)))
    for order, (identity, person) in enumerate(people.items()):
        side = 1 if rng.random() < 0.5 else -1
        lane = lanes[order % len(lanes)] + rng.uniform(-0.4, 0.4)
        reach = 2.9 + 0.3 * lane
        start = np.array([-side * reach, lane])
        end = np.array([side * reach, np.clip(lane + rng.uniform(-1.2, 1.2), 3.2, 10.0)])
        length = float(np.hypot(*(end - start)))
        walks.append(
            Walk(
                identity=identity, person=person, start=start, heading=(end - start) / length, length=length,
                speed=float(rng.uniform(1.05, 1.5)), begin=1.5 + order * gap + rng.uniform(-0.25, 0.25) * gap,
                phase=float(rng.uniform(0, 2 * np.pi)),
            )
        )  # fmt: skip
    return walks
