"""The ground between two views out of points that lie at the same place in both, and how well they agree.

Shapes: N points; `(N, 2)` x, y in pixels of their view. Homographies map the visible view to the thermal view.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from edge_reid.cameras.geometry import GroundPlane, Shapes, read_size
from edge_reid.errors import UserError
from edge_reid.files import atomic_file
from edge_reid.types import MODALITIES, Json, Modality

Points = NDArray[np.float64]

LEAST_PAIRS = 4
"""A homography has eight unknowns and every pair tells two."""

LEAST_WIDTH = 0.04
"""Of what the points span, across their longest direction, as a share of the picture's width. Points on one line leave
open what lies beside it."""

CLICK_ERROR = 0.02
"""Share of the thermal picture's width: a pair that is further off than this was clicked at two different things."""


@dataclass(frozen=True)
class Alignment:
    """The ground, and the points of both views that tell where it is."""

    ground: GroundPlane
    visible: Points
    """`(N, 2)`"""
    thermal: Points
    """`(N, 2)`, where the same is in the thermal view."""
    heights: NDArray[np.float64]
    """`(N,)`, how tall in pixels of the thermal view someone is at that place; NaN where not known."""
    inliers: NDArray[np.bool_]
    """`(N,)`, which of them the homography was fitted to."""
    about: dict[str, Json] = field(default_factory=dict)
    """What else is known of how it was found."""
    uncertainty: float | None = None
    """By how many heights of a person the ground may be off where people walk (one standard deviation), if known."""

    @property
    def mapped(self) -> Points:
        """Where the homography puts the visible points in the thermal view, `(N, 2)`."""
        return map_points(self.ground.visible_to_thermal, self.visible)

    @property
    def pixels(self) -> NDArray[np.float64]:
        """How far each pair is off, `(N,)`, in pixels of the thermal view."""
        return np.asarray(np.linalg.norm(self.mapped - self.thermal, axis=1))

    def report(self) -> dict[str, Json]:
        """How well the points agree, as JSON: medians and 90 % quantiles over the inliers, and what they cover."""
        pixels, heights = self.pixels[self.inliers], self.heights[self.inliers]
        shares = (pixels / heights)[np.isfinite(heights)]
        return self.about | {
            "points": int(self.inliers.sum()),
            "left_out": int((~self.inliers).sum()),
            "residual_pixels": _spread(pixels),
            "residual_heights": _spread(shares) if len(shares) else None,
            "coverage": {modality: round(share, 3) for modality, share in self.coverage.items()},
        }

    @property
    def coverage(self) -> dict[Modality, float]:
        """Share of each picture within the convex hull of its inliers."""
        sides: tuple[tuple[Modality, Points], ...] = (("visible", self.visible), ("thermal", self.thermal))
        shares: dict[Modality, float] = {}
        for modality, points in sides:
            height, width = self.ground.sizes[modality]
            hull = cv2.convexHull(points[self.inliers].astype(np.float32))
            shares[modality] = cv2.contourArea(hull) / (height * width)
        return shares


@dataclass(frozen=True)
class Pair:
    """One place on the ground in both views, (x, y) each, and how tall someone there is in both, if that is known."""

    visible: tuple[float, float]
    thermal: tuple[float, float]
    heights: tuple[float, float] | None = None


@dataclass(frozen=True)
class Pairs:
    """Pairs that someone clicked, and the (height, width) of the pictures they were clicked in."""

    sizes: Shapes
    pairs: tuple[Pair, ...] = ()

    def write(self, path: Path) -> None:
        """Write the file that `read` reads."""
        rows = [
            {"visible": pair.visible, "thermal": pair.thermal} | ({"heights": pair.heights} if pair.heights else {})
            for pair in self.pairs
        ]
        sizes = {f"{modality}_size": list(self.sizes[modality]) for modality in MODALITIES}
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps({**sizes, "pairs": rows}, indent=1))

    @classmethod
    def read(cls, path: Path) -> Pairs:
        """Read `{"visible_size": [height, width], "thermal_size": ..., "pairs": [...]}`.

        A pair is `{"visible": [x, y], "thermal": [x, y]}`; it may also have `"heights": [visible, thermal]` in pixels.

        Raises:
            UserError: the file is missing or holds no such pairs.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            sizes = {modality: read_size(content[f"{modality}_size"]) for modality in MODALITIES}
            return cls(sizes, tuple(_pair(row) for row in content["pairs"]))
        except OSError as error:
            raise UserError(f"--pairs {path}: cannot be read ({error.strerror}); check the path") from error
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise UserError(
                f"--pairs {path}: needs visible_size, thermal_size and pairs with visible and thermal [x, y] as JSON; "
                "click them with --click"
            ) from error

    def scaled(self, shapes: Shapes) -> Pairs:
        """The pairs in pictures of other (height, width)."""
        (vx, vy), (tx, ty) = (
            (shapes[modality][1] / self.sizes[modality][1], shapes[modality][0] / self.sizes[modality][0])
            for modality in MODALITIES
        )
        pairs = (
            Pair(
                (pair.visible[0] * vx, pair.visible[1] * vy),
                (pair.thermal[0] * tx, pair.thermal[1] * ty),
                (pair.heights[0] * vy, pair.heights[1] * ty) if pair.heights else None,
            )
            for pair in self.pairs
        )
        return Pairs(shapes, tuple(pairs))


def align_pairs(pairs: Pairs) -> Alignment:
    """The homography of clicked pairs, by RANSAC when there are more than four.

    Raises:
        UserError: fewer than four, two at one place, all on a line, or no four that fit a ground seen from above.
    """
    if len(pairs.pairs) < LEAST_PAIRS:
        raise UserError(f"{len(pairs.pairs)} pairs of points: a homography needs at least {LEAST_PAIRS}; click more")
    visible, thermal = (np.array([getattr(pair, modality) for pair in pairs.pairs]) for modality in MODALITIES)
    refuse_degenerate(visible, thermal, pairs.sizes)
    bound = CLICK_ERROR * pairs.sizes["thermal"][1]
    found, mask = cv2.findHomography(visible, thermal, cv2.RANSAC if len(visible) > LEAST_PAIRS else 0, bound)
    matrix = np.zeros((3, 3)) if found is None else np.asarray(found, dtype=np.float64)
    inliers = np.zeros(len(visible), bool) if found is None else mask.ravel() > 0
    if inliers.sum() < LEAST_PAIRS or not is_seen_from_above(matrix, visible[inliers]):
        raise UserError("the pairs fit no ground that both cameras see from above; click the same places in both views")
    if not inliers.all() and inliers.sum() == LEAST_PAIRS:
        raise UserError(
            f"only {LEAST_PAIRS} of {len(visible)} pairs agree, as any {LEAST_PAIRS} do; click more, or undo wrong ones"
        )
    refuse_degenerate(visible[inliers], thermal[inliers], pairs.sizes)
    known = [pair for pair, used in zip(pairs.pairs, inliers, strict=True) if used and pair.heights]
    heights = np.array([pair.heights[1] if pair.heights else np.nan for pair in pairs.pairs])
    ground = GroundPlane(matrix, pairs.sizes, _clicked_statures(known, pairs.sizes))
    return Alignment(ground, visible, thermal, heights, inliers, {"method": "pairs"})


def map_points(matrix: NDArray[np.float64], points: Points) -> Points:
    """Points `(N, 2)` through a homography `(3, 3)`."""
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(mapped[:, :2] / mapped[:, 2:])


def is_seen_from_above(matrix: NDArray[np.float64], visible: Points) -> bool:
    """Whether the points are before both cameras, and both see the same side of the ground.

    A mirrored ground is what mistaken pairs make; no two cameras above a floor ever see one.
    """
    depth = visible @ matrix[2, :2] + matrix[2, 2]
    return bool(np.all(np.linalg.det(matrix) * depth > 0.0))


def refuse_degenerate(visible: Points, thermal: Points, sizes: Shapes) -> None:
    """Raise UserError where points lie at one place, or on one line but for one: much is then left open."""
    for modality, points in zip(MODALITIES, (visible, thermal), strict=True):
        apart = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(len(points))
        if apart.min() < 0.005 * sizes[modality][1]:
            first, second = sorted(int(index) + 1 for index in np.unravel_index(apart.argmin(), apart.shape))
            raise UserError(f"pairs {first} and {second} are at one place in the {modality} view; click another place")
        # whichever one is taken out, the others must span a plane
        widths = [width_across(np.delete(points, index, axis=0)) for index in range(len(points))]
        if min(widths) < LEAST_WIDTH * sizes[modality][1]:
            raise UserError(
                f"the points lie on one line in the {modality} view; add some beside it, near the camera and far off"
            )


def width_across(points: Points, *, tails: float = 0.0) -> float:
    """How far points `(N, 2)`, N >= 2, spread across the direction that they spread most in, in pixels.

    `tails` is the share of them that is left out at either end.
    """
    centred = points - points.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    return float(np.ptp(np.quantile(centred @ axes[-1], [tails, 1.0 - tails])))


def fit_stature(feet: Points, heights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(a, b, c) of `GroundPlane.statures` from foot points `(N, 2)` and the heights `(N,)` of people there, in pixels.

    Boxes that something hides are too short; the fit counts deviations above a tenth less and less.
    """
    design = np.concatenate([feet, np.ones((len(feet), 1))], axis=1)
    start = np.linalg.lstsq(design, heights, rcond=None)[0]
    weights = 1.0 / heights

    def residuals(stature: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((design @ stature - heights) * weights)

    fitted = least_squares(residuals, start, loss="soft_l1", f_scale=0.1, x_scale=np.abs(start) + 1e-6)
    return np.asarray(fitted.x)


def _clicked_statures(pairs: list[Pair], sizes: Shapes) -> dict[Modality, NDArray[np.float64]] | None:
    """What the heights of clicked people tell; three who stand on one line tell too little."""
    statures: dict[Modality, NDArray[np.float64]] = {}
    for side, modality in enumerate(MODALITIES):
        feet = np.array([getattr(pair, modality) for pair in pairs]).reshape(-1, 2)
        if len(pairs) < 3 or width_across(feet) < LEAST_WIDTH * sizes[modality][1]:
            return None
        statures[modality] = fit_stature(feet, np.array([pair.heights[side] for pair in pairs if pair.heights]))
    return statures


def _spread(values: NDArray[np.float64]) -> Json:
    return {"median": round(float(np.median(values)), 4), "p90": round(float(np.quantile(values, 0.9)), 4)}


def _pair(row: dict[str, list[float]]) -> Pair:
    heights = _two(row["heights"]) if "heights" in row else None
    if heights and min(heights) <= 0.0:
        raise ValueError(row)
    return Pair(_two(row["visible"]), _two(row["thermal"]), heights)


def _two(values: list[float]) -> tuple[float, float]:
    first, second = (float(value) for value in values)
    if not np.isfinite([first, second]).all():
        raise ValueError(values)
    return first, second
