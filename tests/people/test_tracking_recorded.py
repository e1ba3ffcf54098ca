"""The tracker on recorded detections, beside ByteTrack of the PyPI package `trackers` 2.6.1 on the same."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_reid.evaluation.mot import NumberedBoxes
from edge_reid.evaluation.tracking import TrackScores, score
from tests.people.recorded import PEER, RATES, detections, follow, numbered

VISITS = (65, 230, 510, 750, 935, 1240, 1394)
"""Near which frames six people come into the clip one after the other, and its end."""


def regular(name: str, count: int) -> NDArray[np.float64]:
    return np.arange(count) / RATES[name]


def tracked(name: str, **habits: int) -> TrackScores:
    found = detections(name)
    shown = follow(found, regular(name, len(found)), **habits)
    truth = numbered(f"{name}_truth")
    if dropped := habits.get("dropped"):
        truth = {frame: people for frame, people in truth.items() if (frame - 1) % dropped != 1}
    return score(shown, truth)


@pytest.mark.parametrize(
    ("name", "idf1", "hota", "switches"), [("visible", 0.966, 0.736, 6), ("thermal", 0.970, 0.747, 1)]
)
def test_people_are_followed_better_than_the_peer_follows_them(
    name: str, idf1: float, hota: float, switches: int
) -> None:
    ours, peer = tracked(name), PEER[name]
    # the peer: visible IDF1 0.776, HOTA 0.692, 14 switches; thermal 0.677, 0.642, 21
    assert (ours.idf1, ours.hota) == (pytest.approx(idf1, abs=0.01), pytest.approx(hota, abs=0.01))
    assert ours.idf1 > max(0.85, peer["idf1"])
    assert ours.hota > peer["hota"]
    assert ours.mota > peer["mota"]
    assert ours.switches <= switches < peer["switches"]


@pytest.mark.parametrize("habits", [{"every": 2}, {"dropped": 2}, {"dropped": 3}], ids=str)
@pytest.mark.parametrize("name", ["visible", "thermal"])
def test_frames_that_are_not_searched_or_never_come_break_no_track(name: str, habits: dict[str, int]) -> None:
    scores = tracked(name, **habits)
    assert scores.idf1 > 0.85
    assert scores.switches <= 8


def test_times_that_jitter_break_no_track() -> None:
    found = detections("visible")
    times = regular("visible", len(found)) + np.random.default_rng(0).uniform(-0.03, 0.03, len(found))
    assert (np.diff(times) > 0).all()
    scores = score(follow(found, times), numbered("visible_truth"))
    assert scores.idf1 > 0.85
    assert scores.switches <= 8


def spans(shown: dict[int, NumberedBoxes]) -> list[tuple[int, int]]:
    """First and last frame of each track, in order of appearance."""
    frames: dict[int, list[int]] = {}
    for frame, boxes in shown.items():
        for number in boxes.numbers:
            frames.setdefault(int(number), []).append(frame)
    return [(seen[0], seen[-1]) for seen in frames.values()]


@pytest.mark.parametrize("every", [1, 2, 3])
def test_each_of_six_real_visits_is_one_track(every: int) -> None:
    found = detections("clip")
    shown = follow(found, regular("clip", len(found)), every=every)
    assert len(spans(shown)) == 6
    for (first, last), (enters, following) in zip(spans(shown), itertools.pairwise(VISITS), strict=True):
        assert enters - 5 <= first <= enters + 10
        assert first + 100 < last < following


def test_the_peer_agrees_on_the_visits() -> None:
    found = detections("clip")
    ours = spans(follow(found, regular("clip", len(found))))
    assert np.abs(np.array(ours) - spans(numbered("clip_tracks"))).max() <= 5
