"""Where someone in the visible view stands in the thermal view: a homography between two views of one ground plane.

Shapes: N boxes, V visible boxes, T thermal boxes. Boxes are left, top, right, bottom in pixels of their frame.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_reid.errors import UserError
from edge_reid.files import atomic_file
from edge_reid.types import MODALITIES, Json, Modality, other_modality

EDGE = 0.01
"""A box that ends this near to the frame's lower edge, as a share of its height, may have its feet outside."""

LEAST_SHOWN = 0.25
"""Share of a carried box that the other frame must show."""

Shapes = Mapping[Modality, tuple[int, int]]


@dataclass(frozen=True)
class GroundPlane:
    """The ground that both cameras see."""

    visible_to_thermal: NDArray[np.float64]
    """`(3, 3)`, from (x, y, 1) in pixels of the visible view to pixels of the thermal view, up to scale."""
    sizes: Shapes
    """(height, width) of the views that the pixels above belong to."""
    statures: Mapping[Modality, NDArray[np.float64]] | None = None
    """Of each view (a, b, c): people whose feet are at (x, y) are on average a x + b y + c pixels tall there. That is
    how perspective shrinks what stands on a plane. None when nobody has been measured."""

    def distances(
        self, visible: NDArray[np.float32], thermal: NDArray[np.float32], shapes: Shapes
    ) -> NDArray[np.float64]:
        """How far apart the boxes `(V, 4)` and `(T, 4)` stand, `(V, T)`, in heights of the thermal box (about 1.7 m).

        Args:
            visible: boxes in the visible frame.
            thermal: boxes in the thermal frame.
            shapes: (height, width) of the present frames; they may be scaled versions of `sizes`.

        Returns:
            NaN where the feet of one may be outside of the frame, infinity where one stands behind the thermal camera.
        """
        (seen, cut), (there, hidden) = (
            self._feet(boxes, modality, shapes[modality])
            for boxes, modality in zip((visible, thermal), MODALITIES, strict=True)
        )
        mapped, ahead = self.across(seen, "visible")
        heights = (thermal[:, 3] - thermal[:, 1]) * (self.sizes["thermal"][0] / shapes["thermal"][0])
        apart = np.linalg.norm(mapped[:, None] - there[None], axis=2) / np.maximum(heights, 1e-6)
        apart[~ahead] = np.inf
        apart[cut] = np.nan
        apart[:, hidden] = np.nan
        return np.asarray(apart)

    def carry(
        self, boxes: NDArray[np.float32], source: Modality, shapes: Shapes, *, margin: float = 0.0
    ) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Where people whom one camera sees should be seen by the other one.

        The feet follow the homography. The height follows `statures`, which keeps the tall tall. Without those it
        follows the homography's own scale: that is right for cameras beside each other, and the farther they stand
        apart the more it errs.

        Args:
            boxes: `(N, 4)` in the frame of `source`.
            source: the camera that saw them.
            shapes: (height, width) of the present frames; they may be scaled versions of `sizes`.
            margin: added on every side, as a share of the carried height; 0.15 covers what detectors differ by.

        Returns:
            Boxes `(M, 4)` in the other frame, clipped to it, and the rows `(M,)` of `boxes` that they come of. Left out
            are those whose feet may be outside of their own frame, and those the other frame shows too little of.
        """
        target = other_modality(source)
        feet, cut = self._feet(boxes, source, shapes[source])
        there, ahead = self.across(feet, source)
        growth = self._growth(feet, there, source)
        scale = self._scale(source, shapes[source])
        extent = (boxes[:, 2:] - boxes[:, :2]) * scale * growth[:, None]
        left_top = there - extent * (0.5, 1.0) - margin * extent[:, 1:]
        right_bottom = there + extent * (0.5, 0.0) + margin * extent[:, 1:]
        whole = np.concatenate([left_top, right_bottom], axis=1) / np.tile(self._scale(target, shapes[target]), 2)
        height, width = shapes[target]
        clipped = np.clip(whole, 0.0, np.array([width, height, width, height], np.float64))
        area, shown = (np.prod(box[:, 2:] - box[:, :2], axis=1) for box in (whole, clipped))
        kept = np.flatnonzero(~cut & ahead & (growth > 0.0) & (shown > LEAST_SHOWN * area))
        return clipped[kept].astype(np.float32), kept

    def across(self, points: NDArray[np.float64], source: Modality) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Points of the ground `(N, 2)` seen by `source`, in the other view, and which `(N,)` lie before both cameras.

        Both in pixels of `sizes`; what lies behind a camera has no meaning.
        """
        matrix = self.visible_to_thermal
        # what lies behind a camera would be mirrored to its front; the nearest ground is certainly not behind
        height, width = self.sizes["visible"]
        front = np.sign((matrix @ np.array([0.5 * width, height, 1.0]))[2])
        if source == "thermal":
            matrix = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
        mapped = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ matrix.T
        ahead = mapped[:, 2] * front > 0
        return mapped[:, :2] / np.where(ahead, mapped[:, 2], 1.0)[:, None], ahead

    def _growth(self, feet: NDArray[np.float64], there: NDArray[np.float64], source: Modality) -> NDArray[np.float64]:
        """How many times as tall `(N,)` someone at `feet` of `source` is in the other view, at `there`; 0 unknown."""
        if self.statures is not None:
            before, after = (
                points @ self.statures[modality][:2] + self.statures[modality][2]
                for points, modality in ((feet, source), (there, other_modality(source)))
            )
            # a plane has a horizon; above it nobody stands
            possible = (before > 0.0) & (after > 0.0)
            return np.asarray(np.where(possible, after / np.where(possible, before, 1.0), 0.0), dtype=np.float64)
        visible = feet if source == "visible" else there
        matrix = self.visible_to_thermal
        depth = np.abs(visible @ matrix[2, :2] + matrix[2, 2])
        # the determinant of the homography's derivative: how an area grows
        growth = np.sqrt(np.abs(np.linalg.det(matrix)) / np.maximum(depth, 1e-12) ** 3)
        return np.asarray(growth if source == "visible" else 1.0 / growth, dtype=np.float64)

    def _scale(self, modality: Modality, shape: tuple[int, int]) -> NDArray[np.float64]:
        """What makes (x, y) of a frame of this shape pixels of `sizes`."""
        return np.asarray(np.array(self.sizes[modality][::-1]) / np.array(shape[::-1]), dtype=np.float64)

    def _feet(
        self, boxes: NDArray[np.float32], modality: Modality, shape: tuple[int, int]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Foot points `(N, 2)` in pixels of `sizes`, and which of them `(N,)` may lie outside of the frame."""
        return foot_points(boxes) * self._scale(modality, shape), is_cut(boxes, shape)

    def write(self, path: Path, about: Json = None) -> None:
        """Write the file that `read` reads; `about` says how it was found, for people to read."""
        content = {
            "visible_to_thermal": self.visible_to_thermal.tolist(),
            **{f"{modality}_size": list(self.sizes[modality]) for modality in MODALITIES},
        }
        if self.statures is not None:
            content |= {f"{modality}_stature": self.statures[modality].tolist() for modality in MODALITIES}
        if about is not None:
            content["about"] = about
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1))

    @classmethod
    def read(cls, path: Path) -> GroundPlane:
        """Read `{"visible_to_thermal": 3 x 3, "visible_size": [height, width], "thermal_size": [height, width]}`.

        `"visible_stature"` and `"thermal_stature"`, three numbers each, may be there too; both or none.

        Raises:
            UserError: the file is missing or holds no such homography.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            matrix = np.array(content["visible_to_thermal"], dtype=np.float64)
            sizes = {modality: read_size(content[f"{modality}_size"]) for modality in MODALITIES}
            measured = any(f"{modality}_stature" in content for modality in MODALITIES)
            statures = {modality: _stature(content[f"{modality}_stature"]) for modality in MODALITIES if measured}
        except OSError as error:
            raise UserError(f"--homography {path}: cannot be read ({error.strerror}); check the path") from error
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise UserError(
                f"--homography {path}: needs visible_to_thermal (3 x 3), visible_size and thermal_size as JSON; write "
                "it with apps/align_cameras.py"
            ) from error
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or np.linalg.matrix_rank(matrix) < 3:
            raise UserError(f"--homography {path}: visible_to_thermal is no invertible 3 x 3 matrix; estimate it anew")
        return cls(matrix, sizes, statures or None)


def foot_points(boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """The middle of the lower edge of boxes `(N, 4)`, as `(N, 2)`."""
    return np.stack([0.5 * (boxes[:, 0] + boxes[:, 2]), boxes[:, 3]], axis=1).astype(np.float64)


def is_cut(boxes: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Which boxes `(N,)` end so near to the lower edge of a frame of (height, width) that the feet may be outside."""
    return np.asarray(boxes[:, 3] >= (1 - EDGE) * shape[0])


def read_size(values: list[int]) -> tuple[int, int]:
    """(height, width) out of JSON; ValueError or TypeError where it is none."""
    height, width = (int(value) for value in values)
    if min(height, width) < 1:
        raise ValueError(values)
    return height, width


def _stature(values: list[float]) -> NDArray[np.float64]:
    stature = np.array(values, dtype=np.float64)
    if stature.shape != (3,) or not np.isfinite(stature).all():
        raise ValueError(values)
    return stature
