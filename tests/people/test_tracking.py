from __future__ import annotations

import itertools

import numpy as np
import pytest

from edge_reid.people.boxes import Detections, intersection_over_union
from edge_reid.people.tracking import Tracker

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
