"""Where someone in the visible view stands in the thermal view: a homography between two views of one ground plane.

Shapes: V visible boxes, T thermal boxes. Boxes are left, top, right, bottom in pixels of their frame.
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
from edge_reid.types import MODALITIES, Modality

EDGE = 0.01
"""A box that ends this near to the frame's lower edge, as a share of its height, may have its feet outside."""

Shapes = Mapping[Modality, tuple[int, int]]


@dataclass(frozen=True)
class GroundPlane:
    """The ground that both cameras see."""

    visible_to_thermal: NDArray[np.float64]
    """`(3, 3)`, from (x, y, 1) in pixels of the visible view to pixels of the thermal view, up to scale."""
    sizes: Shapes
    """(height, width) of the views that the pixels above belong to."""

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
        mapped = np.concatenate([seen, np.ones((len(seen), 1))], axis=1) @ self.visible_to_thermal.T
        # what lies behind the thermal camera would be mirrored to its front; the nearest ground is certainly not behind
        height, width = self.sizes["visible"]
        ahead = mapped[:, 2] * (self.visible_to_thermal @ np.array([0.5 * width, height, 1.0]))[2] > 0
        mapped = mapped[:, :2] / np.where(ahead, mapped[:, 2], 1.0)[:, None]
        heights = (thermal[:, 3] - thermal[:, 1]) * (self.sizes["thermal"][0] / shapes["thermal"][0])
        apart = np.linalg.norm(mapped[:, None] - there[None], axis=2) / np.maximum(heights, 1e-6)
        apart[~ahead] = np.inf
        apart[cut] = np.nan
        apart[:, hidden] = np.nan
        return np.asarray(apart)

    def _feet(
        self, boxes: NDArray[np.float32], modality: Modality, shape: tuple[int, int]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Foot points `(N, 2)` in pixels of `sizes`, and which of them `(N,)` may lie outside of the frame."""
        scale = np.array(self.sizes[modality][::-1]) / np.array(shape[::-1])
        points = np.stack([0.5 * (boxes[:, 0] + boxes[:, 2]), boxes[:, 3]], axis=1) * scale
        return points, boxes[:, 3] >= (1 - EDGE) * shape[0]

    def write(self, path: Path) -> None:
        """Write the file that `read` reads."""
        content = {
            "visible_to_thermal": self.visible_to_thermal.tolist(),
            **{f"{modality}_size": list(self.sizes[modality]) for modality in MODALITIES},
        }
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1))

    @classmethod
    def read(cls, path: Path) -> GroundPlane:
        """Read `{"visible_to_thermal": 3 x 3, "visible_size": [height, width], "thermal_size": [height, width]}`.

        Raises:
            UserError: the file is missing or holds no such homography.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            matrix = np.array(content["visible_to_thermal"], dtype=np.float64)
            sizes = {modality: _size(content[f"{modality}_size"]) for modality in MODALITIES}
        except OSError as error:
            raise UserError(f"--homography {path}: cannot be read ({error.strerror}); check the path") from error
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"--homography {path}: needs visible_to_thermal (3 x 3), visible_size and thermal_size as JSON; the "
                "homography.json of `edge-reid synth --scene` is an example"
            ) from error
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or np.linalg.matrix_rank(matrix) < 3:
            raise UserError(f"--homography {path}: visible_to_thermal is no invertible 3 x 3 matrix; estimate it anew")
        return cls(matrix, sizes)


def _size(values: list[int]) -> tuple[int, int]:
    height, width = (int(value) for value in values)
    if min(height, width) < 1:
        raise ValueError(values)
    return height, width
