"""The ground between two views out of people who walk through both, nobody knowing who is who.

Shapes: M meetings, which are a visible and a thermal track seen at one time; B homographies tried at once. Points are
`(., 2)` x, y in pixels of their view.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.optimize import least_squares

from edge_reid.cameras.alignment import Alignment, Points, fit_stature, is_seen_from_above, map_points, width_across
from edge_reid.cameras.geometry import GroundPlane, Shapes
from edge_reid.cameras.trails import Meetings, Numbers, Trail, Trails, meet
from edge_reid.errors import UserError
from edge_reid.types import MODALITIES, Json

MOST_DELAY, DELAY_STEP = 2.0, 0.5
"""Seconds that one camera's pictures may be later than the other's, and between the delays that are tried."""

TRIALS, JUDGED_ROWS, REFINED = 400, 1200, 8
"""Homographies tried for each delay, meetings that they are judged by, and how many of the best are gone on with."""

REACHES = (0.5, 0.35, 0.25)
"""Heights of a person by which foot points of one person may differ, from the first fit to the last."""

LEAST_POINTS = 40
"""Moments with the same person in both views, 0.2 s apart: eight seconds."""

LEAST_MEETINGS = 5
"""Moments that a visible and a thermal track must have in common: a second."""

TYPICAL_ERROR = 0.1
"""Of a box's feet, in heights; what is further off counts less and less."""

ALIKE = 15
"""Successive moments whose errors are alike: a shadow or a hidden foot stays for about three seconds."""

MOST_UNCERTAIN = 0.1
"""Heights by which the mapped feet may be off where people walk; a gate of half a height bears that."""

LEAST_WIDTH = 0.3
"""Of what was walked over, across its longest direction, in heights. On a line alone all beside it stays open."""

LEAST_AGREEMENT = 0.6
"""Share of the visible people, where the thermal camera looks too, whom a thermal person goes with."""

MOST_GROWTH_SPREAD = 0.2
"""By which the logarithm of how much taller people are in the thermal view may differ from what the homography says."""

_EXPECTED = np.array([100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 0.1, 0.1, 0.1])
"""Sizes of what is fitted: six entries in pixels, two in shares, and tenths of a second."""


@dataclass(frozen=True)
class _Fit:
    """A homography, the delay that goes with it, all meetings, those of one and the same person, and how good it is."""

    matrix: Numbers
    delay: float
    meetings: Meetings
    same: Meetings
    score: float


def align_walks(trails: Trails) -> Alignment:
    """Find who of one view is who in the other, the homography, and the delay between the cameras, all at once.

    Two couples of tracks, each at two times, make a homography; many are tried, moments with few people first. The
    best is the one by which most people are where somebody is in the other view, one to one; it is fitted to those and
    judged again. A mirrored ground, and people whose heights the homography contradicts, cannot be.

    Raises:
        UserError: there is too little to tell, or what there is fits no ground.
    """
    visible, thermal = (trails.of(modality) for modality in MODALITIES)
    for modality, seen in zip(MODALITIES, (visible, thermal), strict=True):
        if not seen:
            raise UserError(
                f"nobody was followed in the {modality} view; let someone walk there, or choose another --detector"
            )
    rng = np.random.default_rng(0)
    delays = np.arange(-MOST_DELAY, MOST_DELAY + 0.5 * DELAY_STEP, DELAY_STEP)
    tried = [trial for delay in delays for trial in _try(meet(visible, thermal, delay), float(delay), rng)]
    best = sorted(tried, key=lambda trial: -trial[0])[:REFINED]
    fits = [fit for _, matrix, delay in best if (fit := _refine(visible, thermal, matrix, delay)) is not None]
    if not fits:
        raise UserError(
            "too few people were in both views at one time, or all on one line; let one person walk through both for "
            "longer, near and far"
        )
    return _checked(max(fits, key=lambda fit: fit.score), trails.sizes)


def _checked(fit: _Fit, sizes: Shapes) -> Alignment:
    """The alignment of a fit; UserError where it is not to be relied on."""
    same, (height, width) = fit.same, sizes["thermal"]
    mapped = map_points(fit.matrix, fit.meetings.visible)
    common = fit.meetings.take(np.all((mapped > 0.0) & (mapped < (width, height)), axis=1))
    agreement = len(same) / max(len(np.unique(common.sightings[0])), 1)
    above = is_seen_from_above(fit.matrix, same.visible)
    if agreement < LEAST_AGREEMENT or not above or _growth_spread(fit) > MOST_GROWTH_SPREAD:
        raise UserError(
            f"the walks of both views fit no common ground ({100 * agreement:.0f} % of the people agree); check that "
            "both cameras see the same floor, or let one person walk alone"
        )
    for points, heights in zip((same.visible, same.thermal), same.heights, strict=True):
        if width_across(points, tails=0.05) < LEAST_WIDTH * np.median(heights):
            raise UserError("everybody walked along one line; walk near and far as well, and to both sides")
    uncertainty = _uncertainty(fit, common)
    if uncertainty > MOST_UNCERTAIN:
        raise UserError(
            f"the walks leave open where the views meet (by {uncertainty:.2f} heights of a person); walk on, near and "
            "far and to both sides"
        )
    statures = {
        modality: fit_stature(points, heights)
        for modality, points, heights in zip(MODALITIES, (same.visible, same.thermal), same.heights, strict=True)
    }
    ground = GroundPlane(fit.matrix / np.linalg.norm(fit.matrix), sizes, statures)
    about: dict[str, Json] = {
        "method": "walking",
        "walks": len(np.unique(same.couples)),
        "agreement": round(agreement, 3),
        "uncertainty_heights": round(uncertainty, 4),
        "thermal_delay_seconds": round(fit.delay, 3),
    }
    return Alignment(ground, same.visible, same.thermal, same.heights[1], np.ones(len(same), bool), about, uncertainty)


def _try(meetings: Meetings, delay: float, rng: np.random.Generator) -> list[tuple[float, Numbers, float]]:
    """The best of many homographies: (score, homography, delay)."""
    matrices = _hypotheses(meetings, rng)
    every = max(1, round(len(meetings) / JUDGED_ROWS))
    judged = meetings.take(np.isin(meetings.times, np.unique(meetings.times)[::every]))
    scores = every * _scores(_distances(matrices, judged), judged, REACHES[0]).sum(axis=1)
    return [(float(scores[index]), matrices[index], delay) for index in np.argsort(-scores)[:REFINED]]


def _hypotheses(meetings: Meetings, rng: np.random.Generator) -> Numbers:
    """Homographies `(B, 3, 3)` of two couples of tracks, each at two times."""
    order = np.lexsort([meetings.times, meetings.couples])
    couples, starts, counts = np.unique(meetings.couples[order], return_index=True, return_counts=True)
    rows = np.searchsorted(couples, meetings.couples)
    weights = np.bincount(rows, 1.0 / meetings.rivals, minlength=len(couples))
    weights[counts < LEAST_MEETINGS] = 0.0
    if not weights.any():
        return np.zeros((0, 3, 3))
    drawn = rng.choice(len(couples), size=(TRIALS, 2), p=weights / weights.sum())
    # a time of the first half of a couple's meetings and one of the second
    places = (rng.random((TRIALS, 2, 2)) + np.array([0.0, 1.0])) * 0.5 * counts[drawn][:, :, None]
    chosen = order[(starts[drawn][:, :, None] + places.astype(np.intp)).reshape(TRIALS, 4)]
    matrices = _through_four(meetings.visible[chosen], meetings.thermal[chosen])
    depths = matrices[:, 2, :2] @ meetings.visible.T + matrices[:, 2, 2:]
    # of a rough guess, the horizon may cut off some who are far away
    proper = (np.linalg.det(matrices)[:, None] * depths > 0.0).mean(axis=1) > 0.9
    return np.asarray(matrices[proper])


def _through_four(visible: Points, thermal: Points) -> Numbers:
    """Homographies `(B, 3, 3)` of four points each, `(B, 4, 2)`; none of those where three lie on a line."""
    center, spread = visible.mean(axis=(0, 1)), float(visible.std())
    (x, y), (u, v) = ((visible - center) / spread).transpose(2, 0, 1), thermal.transpose(2, 0, 1)
    one, zero = np.ones_like(x), np.zeros_like(x)
    rows = [
        np.stack([x, y, one, zero, zero, zero, -x * u, -y * u], axis=2),
        np.stack([zero, zero, zero, x, y, one, -x * v, -y * v], axis=2),
    ]
    system, values = np.concatenate(rows, axis=1), np.concatenate([u, v], axis=1)
    solvable = np.linalg.cond(system) < 1e7
    solution = np.linalg.solve(system[solvable], values[solvable][:, :, None])[:, :, 0]
    matrices = np.concatenate([solution, np.ones((len(solution), 1))], axis=1).reshape(-1, 3, 3)
    return np.asarray(matrices @ _normalisation(center, spread))


def _normalisation(center: Points, spread: float) -> Numbers:
    return np.array([[1.0, 0.0, -center[0]], [0.0, 1.0, -center[1]], [0.0, 0.0, spread]]) / spread


def _distances(matrices: Numbers, meetings: Meetings) -> Numbers:
    """How far apart `(B, M)` the two of a meeting are, in heights of the thermal person; infinite behind a camera."""
    mapped = meetings.visible @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2]
    ahead = np.linalg.det(matrices)[:, None] * mapped[:, :, 2] > 0.0
    places = mapped[:, :, :2] / np.where(ahead, mapped[:, :, 2], 1.0)[:, :, None]
    return np.where(ahead, np.linalg.norm(places - meetings.thermal, axis=2) / meetings.heights[1], np.inf)


def _scores(apart: Numbers, meetings: Meetings, reach: float) -> Numbers:
    """Scores `(B, M)` in 0..1: 1 for two at one place, 0 beyond `reach` or where either has somebody nearer."""
    nearest = np.ones(apart.shape, bool)
    for sightings in meetings.sightings:
        order = np.argsort(sightings, kind="stable")
        _, starts, groups = np.unique(sightings[order], return_index=True, return_inverse=True)
        least = np.minimum.reduceat(apart[:, order], starts, axis=1)[:, groups]
        nearest[:, order] &= apart[:, order] <= least
    return np.where(nearest, np.clip(1.0 - (apart / reach) ** 2, 0.0, None), 0.0)


def _refine(visible: list[Trail], thermal: list[Trail], matrix: Numbers, delay: float) -> _Fit | None:
    """Fit to those who are the same person, find them anew, and again; None where they are too few."""
    for reach in REACHES:
        same = _same_people(meet(visible, thermal, delay), matrix, reach)
        if len(same) < LEAST_POINTS:
            return None
        matrix, later = _fit(same)
        delay += later
    meetings = meet(visible, thermal, delay)
    same = _same_people(meetings, matrix, REACHES[-1])
    score = float(_scores(_distances(matrix[None], meetings), meetings, REACHES[-1]).sum())
    return _Fit(matrix, delay, meetings, same, score) if len(same) >= LEAST_POINTS else None


def _same_people(meetings: Meetings, matrix: Numbers, reach: float) -> Meetings:
    """The meetings of one and the same person: of tracks that keep together for most of the time that both are seen."""
    together = _scores(_distances(matrix[None], meetings), meetings, reach)[0] > 0.0
    couples, rows, counts = np.unique(meetings.couples, return_inverse=True, return_counts=True)
    shares = np.bincount(rows, together, minlength=len(couples)) / counts
    return meetings.take(together & ((shares > 0.5) & (counts >= LEAST_MEETINGS))[rows])


def _fit(same: Meetings) -> tuple[Numbers, float]:
    """The homography of meetings of one and the same person each, and by how much later the thermal camera is."""
    normalisation = _normalisation(same.visible.mean(axis=0), float(same.visible.std()))
    points = map_points(normalisation, same.visible)
    start = np.asarray(cv2.findHomography(points, same.thermal)[0], dtype=np.float64)

    def errors(values: Numbers) -> Numbers:
        return _errors(values, points, same)

    fitted = least_squares(
        errors,
        np.append(start.ravel()[:8] / start[2, 2], 0.0),
        loss="soft_l1",
        f_scale=TYPICAL_ERROR,
        x_scale=_EXPECTED,
    ).x
    return np.append(fitted[:8], 1.0).reshape(3, 3) @ normalisation, float(fitted[8])


def _errors(values: Numbers, points: Points, meetings: Meetings) -> Numbers:
    """`(2 M,)` in heights, for the eight entries of a homography of normalised points and a further delay."""
    off = map_points(np.append(values[:8], 1.0).reshape(3, 3), points) - meetings.thermal - values[8] * meetings.speeds
    return np.asarray((off / meetings.heights[1][:, None]).ravel())


def _growth_spread(fit: _Fit) -> float:
    """By how much people's heights in both views contradict the homography, as a logarithm.

    Someone's height follows their depth, and how the depth changes from view to view is in the homography's last row;
    what is left is one number for all people and places, whatever the cameras.
    """
    depths = np.abs(fit.same.visible @ fit.matrix[2, :2] + fit.matrix[2, 2])
    growth = np.log(fit.same.heights[1] * depths / fit.same.heights[0])
    return float(1.48 * np.median(np.abs(growth - np.median(growth))))


def _uncertainty(fit: _Fit, everywhere: Meetings) -> float:
    """By how many heights mapped feet may be off (one standard deviation) at 95 % of the places where people were.

    From the curvature of the fit's sum of squares, when the errors of ALIKE successive moments count as one. It grows
    where nobody walked, and when all walked one way: a delay then looks like a shift.
    """
    normalisation = _normalisation(fit.same.visible.mean(axis=0), float(fit.same.visible.std()))
    matrix = fit.matrix @ np.linalg.inv(normalisation)
    values = np.append(matrix.ravel()[:8] / matrix[2, 2], 0.0)

    def slopes(meetings: Meetings) -> Numbers:
        points = map_points(normalisation, meetings.visible)
        sides = (_errors(values + step, points, meetings) - _errors(values - step, points, meetings) for step in steps)
        return np.stack(list(sides), axis=1) / 2e-4

    steps = 1e-4 * np.diag(_EXPECTED)
    errors = _errors(values, map_points(normalisation, fit.same.visible), fit.same)
    variance = ALIKE * max(float(np.mean(errors**2)), (0.5 * TYPICAL_ERROR) ** 2)
    known, asked = slopes(fit.same), slopes(everywhere)
    # the ridge only keeps what is wholly open from being a division by zero
    covariance = variance * np.linalg.inv(known.T @ known + 1e-9 * np.eye(len(values)))
    asked[:, 8] = 0.0  # where the feet are, not when
    spread = np.einsum("ij,jk,ik->i", asked, covariance, asked).reshape(-1, 2).sum(axis=1)
    return float(np.sqrt(np.quantile(spread, 0.95)))
