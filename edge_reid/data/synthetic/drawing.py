"""What every part of a drawn person needs to know: who, in which pose, seen from where, onto which canvas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_reid.data.synthetic.body import Point, Pose, Viewpoint
from edge_reid.data.synthetic.canvas import Canvas
from edge_reid.data.synthetic.people import Person

Layer = tuple[float, Callable[[], None]]


@dataclass(frozen=True)
class Figure:
    """One person, one pose, one view, one canvas: what the drawing functions below share."""

    person: Person
    pose: Pose
    view: Viewpoint
    canvas: Canvas

    def at(self, point: Point) -> tuple[float, float]:
        """The pixel of a point of the body."""
        u, v, _ = self.view.project(point)
        return u, v

    def depth(self, *points: Point) -> float:
        """Nearness to the camera, the mean of the points."""
        return float(np.mean([self.view.project(point)[2] for point in points]))

    def pixels(self, length: float) -> float:
        """A length in statures as pixels."""
        return length * self.view.scale

    @property
    def facing(self) -> float:
        """1 towards the camera, -1 away from it."""
        return float(np.cos(self.view.turn))

    def trunk(self, heights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Spine pixels `(N, 2)` at heights measured from the pelvis, along the lean of the trunk."""
        axis = (self.pose.chest - self.pose.pelvis) / np.linalg.norm(self.pose.chest - self.pose.pelvis)
        down = np.array([0.0, 1.0, 0.0])  # below the pelvis clothes hang straight
        return np.array([self.at(self.pose.pelvis + h * (axis if h > 0 else down)) for h in heights])
