"""The ground from clicked pairs and from walks, against pinhole cameras whose ground is known, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import strollers
from strollers import ACROSS, BESIDE, OPPOSITE, Strollers, truth

from edge_reid.cameras.alignment import Pair, Pairs, align_pairs, fit_stature, map_points, width_across
from edge_reid.cameras.trails import STEP, Trail, Trails, meet
from edge_reid.cameras.walking import align_walks
from edge_reid.data.synthetic.stage import FRAME
from edge_reid.errors import UserError
from edge_reid.types import MODALITIES, Modality

SIZES: dict[Modality, tuple[int, int]] = dict.fromkeys(MODALITIES, FRAME)


def floor(rig: strollers.Rig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Foot points `(N, 2)` of people in both views, and their heights in the thermal view."""
    boxes = {modality: strollers.people_on_the_floor(rig[modality]) for modality in MODALITIES}
    feet = {m: np.stack([0.5 * (b[:, 0] + b[:, 2]), b[:, 3]], axis=1).astype(float) for m, b in boxes.items()}
    both = np.all([np.all((points > 0) & (points < (640, 480)), axis=1) for points in feet.values()], axis=0)
    heights = (boxes["thermal"][:, 3] - boxes["thermal"][:, 1]).astype(float)
    return feet["visible"][both], feet["thermal"][both], heights[both]


def error(rig: strollers.Rig, matrix: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    visible, thermal, heights = floor(rig)
    return np.asarray(np.linalg.norm(map_points(matrix, visible) - thermal, axis=1) / heights)


def clicked(count: int, *, off: float = 0.0, seed: int = 0, heights: bool = False) -> Pairs:
    rng = np.random.default_rng(seed)
    visible, thermal, tall = floor(ACROSS)
    rows = rng.choice(len(visible), count, replace=False)
    pairs = [
        Pair(tuple(visible[i]), tuple(thermal[i] + rng.normal(0, off, 2)), (2 * tall[i], tall[i]) if heights else None)
        for i in rows
    ]
    return Pairs(SIZES, tuple(pairs))


def test_four_exact_pairs_make_the_homography() -> None:
    corners = ((100.0, 400.0), (500.0, 420.0), (420.0, 200.0), (220.0, 210.0))
    mapped = map_points(truth(ACROSS), np.array(corners))
    alignment = align_pairs(Pairs(SIZES, tuple(Pair(a, tuple(b)) for a, b in zip(corners, mapped, strict=True))))
    assert error(ACROSS, alignment.ground.visible_to_thermal).max() < 1e-4
    assert alignment.inliers.all()
    assert alignment.pixels.max() < 1e-3
    assert alignment.report()["residual_heights"] is None, "nobody's height is known"


def test_many_pairs_average_their_errors_and_wrong_ones_are_left_out() -> None:
    pairs = clicked(14, off=1.5, heights=True)
    wrong = replace(pairs.pairs[3], thermal=(pairs.pairs[3].thermal[0] + 90, pairs.pairs[3].thermal[1] - 40))
    alignment = align_pairs(Pairs(SIZES, (*pairs.pairs[:3], wrong, *pairs.pairs[4:])))
    assert np.flatnonzero(~alignment.inliers).tolist() == [3]
    assert np.quantile(error(ACROSS, alignment.ground.visible_to_thermal), 0.9) < 0.03
    report = alignment.report()
    assert (report["points"], report["left_out"]) == (13, 1)
    used = alignment.pixels[alignment.inliers]
    median = report["residual_heights"]["median"]  # type: ignore[call-overload, index]
    assert median == pytest.approx(np.median(used / alignment.heights[alignment.inliers]), abs=1e-4)
    assert alignment.ground.statures is not None
    assert 0.0 < report["coverage"]["visible"] < 1.0  # type: ignore[call-overload, index, operator]


GOOD = (((100, 400), (60, 380)), ((500, 420), (460, 400)), ((420, 200), (380, 180)), ((220, 210), (180, 190)))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (GOOD[:3], "3 pairs of points: a homography needs at least 4"),
        ((*GOOD[:3], GOOD[0]), "pairs 1 and 4 are at one place in the visible view"),
        ((*GOOD, ((300, 300), (60, 380))), "pairs 1 and 5 are at one place in the thermal view"),
        ([((100 * i, 200 + 10 * i), (90 * i + (i % 2) * 99, 50 * i)) for i in range(1, 6)], "one line in the visible"),
        ((*[((100 * i, 300), (100 * i, 300)) for i in range(1, 6)], ((300, 100), (300, 100))), "one line"),
        ([(seen, (640 - x, y)) for seen, (x, y) in GOOD], "fit no ground that both cameras see from above"),
        ((*GOOD, ((300, 300), (500, 100))), "only 4 of 5 pairs agree"),
    ],
    ids=["too few", "twice", "twice in one", "a line", "a line but for one", "mirrored", "any four fit"],
)
def test_pairs_that_tell_too_little_are_refused(rows: list[tuple[tuple[int, int], ...]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        align_pairs(Pairs(SIZES, tuple(Pair(visible, thermal) for visible, thermal in rows)))


def test_pairs_are_written_read_and_scaled(tmp_path: Path) -> None:
    pairs = clicked(5, heights=True)
    mixed = Pairs(SIZES, (*pairs.pairs, Pair((1.0, 2.0), (3.0, 4.0))))
    mixed.write(tmp_path / "pairs.json")
    assert Pairs.read(tmp_path / "pairs.json") == mixed
    half = mixed.scaled({"visible": (240, 320), "thermal": (480, 1280)})
    assert half.pairs[-1] == Pair((0.5, 1.0), (6.0, 4.0))
    before, after = mixed.pairs[0].heights, half.pairs[0].heights
    assert before and after and after == (before[0] / 2, before[1])


def pairs_text(**changes: object) -> str:
    row = {"visible": [1, 2], "thermal": [3, 4]}
    return json.dumps({"visible_size": [480, 640], "thermal_size": [480, 640], "pairs": [row], **changes})


@pytest.mark.parametrize(
    "text",
    [
        None, "", "[]", "7", "{", pairs_text(visible_size=[0, 1]), pairs_text(pairs=7), pairs_text(pairs=[[1]]),
        pairs_text(pairs=[{"visible": [1, 2]}]), pairs_text(pairs=[{"visible": [1, "x"], "thermal": [1, 2]}]),
        pairs_text(pairs=[{"visible": [1, 2], "thermal": [1, float("inf")]}]), pairs_text(thermal_size=[1e999, 3]),
        pairs_text(pairs=[{"visible": [1, 2], "thermal": [1, 2], "heights": [0, 3]}]), "\udcff",
    ],
)  # fmt: skip
def test_a_file_without_pairs_is_one_line(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "pairs.json"
    if text is not None:
        path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=f"--pairs {path}: "):
        Pairs.read(path)


def test_cut_files_of_pairs_never_end_otherwise(tmp_path: Path) -> None:
    clicked(6, heights=True).write(tmp_path / "whole.json")
    whole = (tmp_path / "whole.json").read_bytes()
    rng = np.random.default_rng(5)
    for _ in range(200):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] = rng.integers(32, 127)
        (tmp_path / "damaged.json").write_bytes(bytes(damaged[: rng.integers(len(whole) // 2, len(whole) + 1)]))
        try:
            align_pairs(Pairs.read(tmp_path / "damaged.json"))
        except UserError as refusal:
            assert "\n" not in str(refusal)


def test_the_stature_of_a_view_survives_boxes_that_are_half_hidden() -> None:
    rng = np.random.default_rng(0)
    feet = rng.uniform((0, 150), (640, 480), (200, 2))
    heights = 0.02 * feet[:, 0] + 0.6 * feet[:, 1] - 20
    heights[::8] *= 0.5
    fitted = fit_stature(feet, heights)
    expected = feet @ (0.02, 0.6) - 20
    assert np.abs((feet @ fitted[:2] + fitted[2]) / expected - 1).max() < 0.05


def test_width_is_measured_across_the_longest_direction() -> None:
    line = np.array([[0.0, 0.0], [30.0, 40.0], [60.0, 80.0]])
    assert width_across(line) == pytest.approx(0.0, abs=1e-9)
    assert width_across(np.vstack([line, [[30.0 - 8.0, 40.0 + 6.0]]])) == pytest.approx(10.0, rel=0.05)


def test_meetings_are_all_who_are_seen_at_one_time() -> None:
    rng = np.random.default_rng(3)

    def trail(begin: float, end: float) -> Trail:
        times = np.sort(rng.uniform(begin, end, int(12 * (end - begin))))
        return Trail(times, np.cumsum(rng.normal(0, 5, (len(times), 2)), axis=0) + 200, np.full(len(times), 80.0))

    visible, thermal = [trail(0, 6), trail(2, 9)], [trail(1, 4), trail(0, 9), trail(5, 8)]
    meetings = meet(visible, thermal, 0.3)
    expected = []
    first, last = min(v.times[0] for v in visible), max(v.times[-1] for v in visible)
    for moment in np.arange(first, last, STEP):
        present = [
            [(n, _at(t, now)) for n, t in enumerate(group)]
            for group, now in ((visible, moment), (thermal, moment + 0.3))
        ]
        couples = [(v, t) for v in present[0] for t in present[1] if v[1] is not None and t[1] is not None]
        expected += [(moment, v[0] * 3 + t[0], *v[1], *t[1], len(couples)) for v, t in couples]  # type: ignore[misc]
    found = np.column_stack([meetings.times, meetings.couples, meetings.visible, meetings.thermal, meetings.rivals])
    assert len(found) == len(expected) > 50
    np.testing.assert_allclose(sorted(found.tolist()), sorted(expected))
    for sightings, others in ((meetings.sightings[0], meetings.visible), (meetings.sightings[1], meetings.thermal)):
        for number in np.unique(sightings):
            assert np.ptp(others[sightings == number], axis=0).max() == 0.0, "one sighting is one point"


def _at(trail: Trail, moment: float) -> tuple[float, float] | None:
    after = int(np.searchsorted(trail.times, moment))
    if after in (0, len(trail.times)) or trail.times[after] - trail.times[after - 1] > 0.5:
        return None
    share = (moment - trail.times[after - 1]) / (trail.times[after] - trail.times[after - 1])
    x, y = trail.points[after - 1] + share * (trail.points[after] - trail.points[after - 1])
    return float(x), float(y)


def test_boxes_whose_feet_the_frame_cuts_tell_nothing() -> None:
    trails = Trails()
    for index in range(30):
        boxes = np.array(
            [[100, 100, 150, 200], [0, 100, 50, 200], [600, 100, 640, 200], [300, 300, 380, 479]], np.float32
        )
        trails.add("visible", FRAME, 0.1 * index, list(enumerate(boxes)))
    (trail,) = trails.of("visible")
    assert trail.points[0].tolist() == [125, 200] and trail.heights[0] == 100
    with pytest.raises(UserError, match="changed its size from"):
        trails.add("visible", (240, 320), 9.0, [])


@pytest.mark.parametrize(
    ("rig", "strollers_", "delay"),
    [
        (BESIDE, Strollers(), 0.3),
        (ACROSS, Strollers(people=3, seed=1, seconds=40.0), -0.4),
        (OPPOSITE, Strollers(people=6, seed=2, seconds=30.0), 1.2),
        (ACROSS, Strollers(people=10, seed=3, seconds=25.0), 0.0),
        (BESIDE, Strollers(people=4, clutter=2, seed=4, seconds=30.0), 0.5),
        (OPPOSITE, Strollers(people=4, error=0.06, missing=0.3, seed=7, seconds=45.0), -1.25),
    ],
    ids=["one person", "three", "six, cameras face to face", "ten", "strangers in each view", "poor boxes"],
)
def test_walks_tell_the_ground_the_delay_and_who_is_who(
    rig: strollers.Rig, strollers_: Strollers, delay: float
) -> None:
    alignment = align_walks(strollers_.trails(rig, delay=delay))
    off = error(rig, alignment.ground.visible_to_thermal)
    assert np.median(off) < 0.03 and np.quantile(off, 0.9) < 0.08, "heights of a person; a gate is half a height"
    assert alignment.uncertainty is not None
    assert np.quantile(off, 0.9) < 3 * alignment.uncertainty
    assert alignment.about["thermal_delay_seconds"] == pytest.approx(delay, abs=0.03)
    assert alignment.about["walks"] >= strollers_.people  # type: ignore[operator]
    statures = alignment.ground.statures
    assert statures is not None
    _, thermal, heights = floor(rig)
    assert np.abs((thermal @ statures["thermal"][:2] + statures["thermal"][2]) / heights - 1).max() < 0.12


def test_the_same_walks_always_make_the_same_ground() -> None:
    first, second = (align_walks(Strollers(people=2, seconds=30.0).trails(ACROSS)) for _ in range(2))
    np.testing.assert_array_equal(first.ground.visible_to_thermal, second.ground.visible_to_thermal)


@pytest.mark.parametrize(
    ("rig", "walks", "message"),
    [
        (ACROSS, Strollers(people=0), "nobody was followed in the visible view"),
        (ACROSS, Strollers(seconds=6.0), "too few people were in both views"),
        (BESIDE, Strollers(people=3, along=True), "one line"),
        (ACROSS, Strollers(people=0, clutter=4, seconds=40.0), "too few people|fit no common ground|leave open"),
        (
            BESIDE,
            Strollers(people=0, clutter=8, seed=1, seconds=30.0),
            "too few people|fit no common ground|leave open",
        ),
    ],
    ids=["nobody", "too short", "one line", "strangers", "crowds of strangers"],
)
def test_walks_that_tell_too_little_are_refused(rig: strollers.Rig, walks: Strollers, message: str) -> None:
    with pytest.raises(UserError, match=message):
        align_walks(walks.trails(rig))


def test_a_mirrored_camera_is_refused() -> None:
    trails, mirrored = Strollers(people=2, seconds=40.0).trails(ACROSS), Trails()
    mirrored.add("visible", FRAME, 0.0, [])
    for modality in MODALITIES:
        for number, trail in enumerate(trails.of(modality)):
            for time, (x, y), height in zip(trail.times, trail.points, trail.heights, strict=True):
                across = x if modality == "visible" else 640 - x
                box = np.array([across - 20, y - height, across + 20, y], np.float32)
                mirrored.add(modality, FRAME, float(time), [(number, box)])
    with pytest.raises(UserError, match=r"too few people|fit no common ground"):
        align_walks(mirrored)


def lanes(*, back: bool) -> Trails:
    """Six who walk up and down one lane each, at one pace; all the same way, or every other one back."""
    trails, rng = Trails(), np.random.default_rng(0)
    for modality in MODALITIES:
        for time in np.arange(0.0, 20.0, 0.1):
            for number, (lane, start) in enumerate(
                [(5.0, 0.0), (5.0, 1.5), (8.0, 0.7), (3.5, 3.0), (6.5, 5.0), (4, 7)]
            ):
                lap, along = divmod(1.2 * (time - start), 12.0)
                across = (along - 6.0) * (-1 if back and number % 2 else 1)
                if abs(across) < 3.5:
                    box = strollers.box_of(ACROSS[modality], np.array([across, lane]), 1.7, 0.0, rng)
                    trails.add(modality, FRAME, float(time), [(10 * number + int(lap) + 1, box)])
    return trails


def test_when_all_walk_one_way_a_delay_could_be_a_shift_and_is_not_guessed() -> None:
    with pytest.raises(UserError, match="leave open where the views meet"):
        align_walks(lanes(back=False))
    alignment = align_walks(lanes(back=True))
    assert np.quantile(error(ACROSS, alignment.ground.visible_to_thermal), 0.9) < 0.02
