from __future__ import annotations

import itertools

import numpy as np
import pytest

from edge_reid.people.boxes import Detections, intersection_over_union
from edge_reid.people.tracking import (
    ACCELERATION_NOISE,
    FIRST_SPEED,
    LOST_SECONDS,
    MEASUREMENT_NOISE,
    Tracker,
)

Box = tuple[float, float, float, float]


def seen(*boxes: Box, scores: list[float] | None = None) -> Detections:
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.array(scores or [0.9] * len(boxes), np.float32))


def walker(x: float, y: float = 100.0) -> Box:
    return (x, y, x + 40.0, y + 100.0)


def confirmed(tracker: Tracker) -> list[int]:
    return [track.number for track in tracker.tracks if track.phase == "confirmed"]


def test_a_track_is_confirmed_by_its_third_detection_and_keeps_its_number() -> None:
    tracker = Tracker()
    phases = []
    for step in range(5):
        tracker.step(seen(walker(10.0 * step)), step / 10)
        phases.append(tracker.tracks[0].phase)
    assert phases == ["tentative", "tentative", "confirmed", "confirmed", "confirmed"]
    assert [track.number for track in tracker.tracks] == [1]


def test_a_single_false_detection_becomes_nobody() -> None:
    tracker = Tracker()
    tracker.step(seen(walker(0)), 0.0)
    assert tracker.step(seen(), 0.1) == []
    assert tracker.tracks == []


def test_a_weak_detection_starts_no_track_but_continues_one() -> None:
    tracker = Tracker()
    for step in range(5):
        tracker.step(seen(walker(0), scores=[0.2]), step / 10)
    assert tracker.tracks == []
    for step in range(5, 9):
        tracker.step(seen(walker(0)), step / 10)
    tracker.step(seen(walker(0), scores=[0.2]), 0.9)
    assert confirmed(tracker) == [1]


def test_the_filter_learns_the_speed_whatever_the_steps() -> None:
    for steps in (np.full(40, 0.1), np.random.default_rng(0).uniform(0.03, 0.2, 40)):
        tracker = Tracker()
        times = np.cumsum(steps)
        for time in times:
            tracker.step(seen(walker(50.0 * time)), float(time))
        assert tracker.tracks[0].state[1, 0] == pytest.approx(50.0, rel=0.05)
        assert np.allclose(tracker.tracks[0].box, walker(50.0 * times[-1]), atol=2.0)


def test_a_lost_person_is_found_again_where_it_must_be_by_now() -> None:
    tracker = Tracker()
    for step in range(10):
        tracker.step(seen(walker(10.0 * step)), step / 10)
    for step in range(10, 18):
        tracker.step(seen(), step / 10)
    assert [track.phase for track in tracker.tracks] == ["lost"]
    tracker.step(seen(walker(180.0)), 1.8)
    assert confirmed(tracker) == [1]


def test_a_track_ends_once_and_is_reported() -> None:
    tracker = Tracker()
    for step in range(4):
        tracker.step(seen(walker(0)), step / 10)
    ended = [track.number for step in range(4, 40) for track in tracker.step(seen(), step / 10)]
    assert ended == [1]
    assert tracker.tracks == []


def paths(step: int) -> tuple[Box, Box]:
    return walker(10.0 * step), walker(300.0 - 10.0 * step, 110.0)


def test_crossing_people_keep_their_numbers_as_the_best_assignment_over_all_frames_would() -> None:
    tracker = Tracker()
    shown: dict[int, list[tuple[int, np.ndarray]]] = {}
    for step in range(31):
        first, second = (np.array(box) for box in paths(step))
        # as one blob where they overlap by half, as background subtraction sees it
        apart = abs(first[0] - second[0]) > 20
        hull = tuple(np.concatenate([np.minimum(first[:2], second[:2]), np.maximum(first[2:], second[2:])]))
        tracker.step(seen(*paths(step)) if apart else seen(hull), step / 10)
        for track in tracker.tracks:
            if track.phase == "confirmed":
                shown.setdefault(track.number, []).append((step, track.box))
    assert sorted(shown) == [1, 2]

    def agreement(order: tuple[int, int]) -> float:
        return sum(
            float(intersection_over_union(box[None], np.array([paths(step)[person]], np.float32))[0, 0])
            for number, person in zip((1, 2), order, strict=True)
            for step, box in shown[number]
        )

    best = max(itertools.permutations((0, 1)), key=agreement)
    assert agreement(best) / sum(map(len, shown.values())) > 0.7, "each number stays with one person throughout"


def test_detections_are_given_out_as_brute_force_would() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        tracker = Tracker()
        starts = [walker(60.0 * person, 40.0 * person) for person in range(4)]
        for step in range(3):
            tracker.step(seen(*starts), step / 10)
        moved = [tuple(np.array(box) + rng.uniform(-25, 25, 4).round()) for box in starts]
        order = rng.permutation(4)
        overlaps = intersection_over_union(
            np.stack([track.box for track in tracker.tracks]), np.array(moved, np.float32)
        )
        gain = np.where(overlaps >= 0.25, overlaps, 0.0)
        best = max(itertools.permutations(range(4)), key=lambda choice: gain[range(4), list(choice)].sum())
        before = [track.state[0, :2].copy() for track in tracker.tracks]
        tracker.step(seen(*(moved[index] for index in order)), 0.3)
        for row, track in enumerate(tracker.tracks[:4]):
            if overlaps[row, best[row]] >= 0.25:
                target = np.array(moved[best[row]])
                center = 0.5 * (target[:2] + target[2:])
                assert np.linalg.norm(track.state[0, :2] - center) <= np.linalg.norm(before[row] - center) + 1e-6


def test_someone_hidden_behind_another_is_still_followed() -> None:
    tracker = Tracker()
    for step in range(10):
        tracker.step(seen(walker(10.0 * step), walker(140.0)), step / 10)
    for step in range(10, 14):
        tracker.step(seen((100.0, 100.0, 185.0, 205.0)), step / 10)
    assert sorted(confirmed(tracker)) == [1, 2]
    assert sorted(track.detected for track in tracker.tracks) == [False, True]


def textbook(boxes: list[Box], times: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """State (x, y, width, height and their speeds) and covariance of a Kalman filter written with whole matrices."""

    def measured(box: Box) -> np.ndarray:
        left, top, right, bottom = np.array(box, np.float32).astype(np.float64)
        return np.array([0.5 * (left + right), 0.5 * (top + bottom), right - left, bottom - top])

    one, look = np.eye(4), np.hstack([np.eye(4), np.zeros((4, 4))])
    state = np.concatenate([measured(boxes[0]), np.zeros(4)])
    deviation = np.repeat([MEASUREMENT_NOISE * state[3], FIRST_SPEED * state[3]], 4)
    covariance = np.diag(deviation**2)
    for box, elapsed in zip(boxes[1:], np.diff(times), strict=True):
        walk = np.block([[one, elapsed * one], [0 * one, one]])
        density = (ACCELERATION_NOISE * state[3]) ** 2
        shaken = density * np.array([[elapsed**3 / 3, elapsed**2 / 2], [elapsed**2 / 2, elapsed]])
        state = walk @ state
        covariance = walk @ covariance @ walk.T + np.kron(shaken, one)
        noise = (MEASUREMENT_NOISE * state[3]) ** 2 * one
        gain = covariance @ look.T @ np.linalg.inv(look @ covariance @ look.T + noise)
        state = state + gain @ (measured(box) - look @ state)
        covariance = (np.eye(8) - gain @ look) @ covariance
    return state, covariance


@pytest.mark.parametrize("seed", range(5))
def test_the_filter_is_that_of_the_textbooks_with_whole_matrices(seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.005, 0.3, 60)).tolist()
    boxes = [
        (left, top, left + 40 + 2 * time, top + 100 + 5 * time)
        for time in times
        for left, top in [(30.0 * time + rng.normal(0, 2), 100 - 10.0 * time + rng.normal(0, 2))]
    ]
    tracker = Tracker()
    for box, time in zip(boxes, times, strict=True):
        tracker.step(seen(box), time)
    (track,) = tracker.tracks
    state, covariance = textbook(boxes, times)
    assert np.allclose(track.state.ravel(), state, rtol=0, atol=1e-9)
    position, cross, speed = track.covariance
    whole = np.block([[np.diag(position), np.diag(cross)], [np.diag(cross), np.diag(speed)]])
    assert np.allclose(whole, covariance, rtol=0, atol=1e-9)


def test_in_a_frame_that_is_not_searched_people_walk_on_and_nobody_is_missed() -> None:
    tracker = Tracker()
    for step in range(20):
        tracker.step(seen(walker(10.0 * step), walker(400, 300)) if step % 2 == 0 else None, step / 10)
        assert len(tracker.tracks) == 2
        assert all(track.detected for track in tracker.tracks)
    assert [track.phase for track in tracker.tracks] == ["confirmed", "confirmed"]
    assert np.allclose(tracker.tracks[0].box, walker(190), atol=4.0), "as predicted"
    tracker.step(seen(walker(200)), 2.0)
    assert [(track.phase, track.detected) for track in tracker.tracks] == [("confirmed", True), ("lost", False)]
    tracker.step(None, 2.1)
    assert [(track.phase, track.detected) for track in tracker.tracks] == [("confirmed", True), ("lost", False)]


def test_who_is_not_searched_for_any_more_is_not_there_for_ever() -> None:
    tracker = Tracker()
    for step in range(4):
        tracker.step(seen(walker(0)), step / 10)
    ends = [step / 10 for step in range(4, 40) for _ in tracker.step(None, step / 10)]
    assert ends == [pytest.approx(0.3 + LOST_SECONDS + 0.1, abs=0.11)]
    assert tracker.tracks == []


def test_a_stall_of_three_seconds_ends_tracks_and_a_short_one_does_not() -> None:
    for pause, ended, number in ((1.0, [], 1), (3.0, [1], 2)):
        tracker = Tracker()
        for step in range(5):
            tracker.step(seen(walker(0)), step / 10)
        assert [track.number for track in tracker.step(seen(walker(0)), 0.4 + pause)] == ended
        assert [track.number for track in tracker.tracks] == [number]


def test_a_clock_that_goes_backwards_is_harmless() -> None:
    tracker = Tracker()
    times = [100.0, 100.1, 100.2, 100.1, 100.3, 3.0, 3.1, 3.1, 3.2]
    for step, time in enumerate(times):
        assert tracker.step(seen(walker(5.0 * step)), time) == []
    assert confirmed(tracker) == [1]
    assert np.isfinite(tracker.tracks[0].box).all()
    # set back again, and nobody is found any more
    ends = [time for time in np.arange(1.0, 6.0, 0.1) for _ in tracker.step(seen(), float(time))]
    assert len(ends) == 1 and ends[0] < 1.0 + LOST_SECONDS + 0.2


def test_whoever_comes_in_where_someone_left_is_someone_else() -> None:
    tracker = Tracker()
    for step in range(15):
        tracker.step(seen(walker(140.0 - 10.0 * step)), step / 10)
    for step in range(15, 22):
        tracker.step(seen(), step / 10)
    tracker.step(None, 2.2)
    assert [track.phase for track in tracker.tracks] == ["lost"]
    # half a body beside where the first one must be by now: they overlap by a third
    left = float(tracker.tracks[0].box[0]) + 20.0
    for step in range(22, 25):
        tracker.step(seen(walker(left)), step / 10)
    assert confirmed(tracker) == [2]


def test_whatever_is_detected_each_track_has_one_number_and_ends_once() -> None:
    rng = np.random.default_rng(7)
    tracker, ended, known = Tracker(), [], set()
    time, boxes = 0.0, np.zeros((8, 4))
    for _ in range(800):
        time += float(rng.choice([-0.05, 0.0, 0.03, 0.1, 0.4, 2.5], p=[0.05, 0.1, 0.4, 0.35, 0.08, 0.02]))
        # boxes of any size that wander, merge and jump elsewhere; some are not found
        corner, size = rng.uniform(-50, 300, (8, 2)), rng.uniform(0, 150, (8, 2))
        anew = (rng.random(8) < 0.05)[:, None]
        boxes = np.where(anew, np.concatenate([corner, corner + size], axis=1), boxes)
        boxes[:, :2] += rng.uniform(-5, 5, (8, 2))
        boxes[:, 2:] = np.maximum(boxes[:, 2:] + rng.uniform(-5, 5, (8, 2)), boxes[:, :2])
        there = rng.random(8) < rng.choice([0.0, 0.5, 1.0])
        found = Detections(boxes[there].astype(np.float32), rng.uniform(0, 1, there.sum()).astype(np.float32))
        ended += [track.number for track in tracker.step(found if rng.random() < 0.8 else None, time)]
        numbers = [track.number for track in tracker.tracks]
        known |= {track.number for track in tracker.tracks if track.phase != "tentative"}
        assert len(numbers) == len(set(numbers))
        assert not set(numbers) & set(ended)
        assert all(np.isfinite(track.box).all() for track in tracker.tracks)
    assert len(ended) == len(set(ended)) > 20
    assert known == set(ended) | {track.number for track in tracker.tracks if track.phase != "tentative"}
