"""How well tracks of one camera follow people: HOTA, IDF1, CLEAR.

Shapes: P people, T tracks, A bounds; in a frame N people and M tracks, with overlaps `(N, M)` in 0..1.

Definitions: HOTA, DetA and AssA after Luiten et al. (IJCV 2021), IDF1 after Ristani et al. (ECCVW 2016), MOTA and
switches after Bernardin and Stiefelhagen (2008).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from edge_reid.evaluation.mot import LEAST_OVERLAP, LEAST_VISIBILITY, NumberedBoxes, read_mot, same_boxes
from edge_reid.people.boxes import intersection_over_union
from edge_reid.types import MODALITIES, Modality

BOUNDS = np.arange(1, 20) / 20
"""Overlaps from which HOTA takes a box for a person's; the score is the mean over them."""

ROUNDING = 1e-6
"""A ratio of whole pixels that equals a bound reaches it in single precision too."""

CONTINUED = 1000.0
"""What it is worth to CLEAR that a person keeps the track of the frame before: more than any overlaps."""


@dataclass(frozen=True)
class TrackScores:
    """Scores as fractions, mota possibly below 0, and the counts of CLEAR."""

    hota: float
    detection_accuracy: float
    association_accuracy: float
    idf1: float
    mota: float
    switches: int
    """How often a person's track is another than the last one they had."""
    found: int
    missed: int
    false: int


def score_tracks(tracks: Path, scene: Path) -> dict[Modality, TrackScores]:
    """Compare a folder that `dual_camera.py --tracks` wrote with a scene's ground truth, each camera by itself.

    Args:
        tracks: folder with `visible.txt` and `thermal.txt` (MOT text).
        scene: folder with `gt_visible.txt` and `gt_thermal.txt` (MOT text).

    Raises:
        UserError: a file is missing or malformed.
    """
    return {
        modality: score(read_mot(tracks / f"{modality}.txt"), read_mot(scene / f"gt_{modality}.txt"))
        for modality in MODALITIES
    }


def score(found: Mapping[int, NumberedBoxes], truth: Mapping[int, NumberedBoxes]) -> TrackScores:
    """Compare the tracks of one camera with the people, frame by frame.

    Who is less than half in sight is ignored, as distractors are in the MOT challenge: tracks and all people of a frame
    are assigned to each other, and a track that thereby belongs to someone ignored leaves the frame with them. So it is
    neither found nor false, and the person is not missed.
    """
    sequence = _Sequence.of(found, truth)
    detection, association = _hota(sequence)
    hits, switches = _clear(sequence)
    people, tracks = int(sequence.people.sum()), int(sequence.tracks.sum())
    return TrackScores(
        hota=float(np.sqrt(detection * association).mean()),
        detection_accuracy=float(detection.mean()),
        association_accuracy=float(association.mean()),
        idf1=2 * _identified(sequence) / max(people + tracks, 1),
        mota=(hits - (tracks - hits) - switches) / people if people else 0.0,
        switches=switches,
        found=hits,
        missed=people - hits,
        false=tracks - hits,
    )


@dataclass(frozen=True)
class _Sequence:
    """Rows of people `(N,)` and of tracks `(M,)` with overlaps in each frame, and in how many frames each is."""

    frames: list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]]
    people: NDArray[np.int64]
    tracks: NDArray[np.int64]

    @staticmethod
    def of(found: Mapping[int, NumberedBoxes], truth: Mapping[int, NumberedBoxes]) -> _Sequence:
        counted = list(_counted(found, truth))
        numbers = [np.concatenate([[], *(pair[side].numbers for pair in counted)]) for side in (0, 1)]
        (people, people_frames), (tracks, track_frames) = (np.unique(column, return_counts=True) for column in numbers)
        frames = [
            (
                np.searchsorted(people, persons.numbers),
                np.searchsorted(tracks, seen.numbers),
                intersection_over_union(persons.corners, seen.corners).astype(np.float64),
            )
            for persons, seen in counted
        ]
        return _Sequence(frames, people_frames, track_frames)


def _counted(
    found: Mapping[int, NumberedBoxes], truth: Mapping[int, NumberedBoxes]
) -> Iterator[tuple[NumberedBoxes, NumberedBoxes]]:
    """People and tracks of each frame without those ignored."""
    nobody = NumberedBoxes(np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros(0))
    for frame in sorted(found.keys() | truth.keys()):
        people, tracks = truth.get(frame, nobody), found.get(frame, nobody)
        seen = people.visibility >= LEAST_VISIBILITY
        kept = np.ones(len(tracks.numbers), bool)
        for person, track in same_boxes(people.corners, tracks.corners):
            kept[track] = seen[person]
        yield _chosen(people, seen), _chosen(tracks, kept)


def _chosen(boxes: NumberedBoxes, rows: NDArray[np.bool_]) -> NumberedBoxes:
    return NumberedBoxes(boxes.numbers[rows], boxes.corners[rows], boxes.visibility[rows])


def _hota(sequence: _Sequence) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Detection and association accuracy at each bound, `(A,)` each."""
    people, tracks = sequence.people[:, None], sequence.tracks[None, :]
    likely = np.zeros((people.size, tracks.size))
    for rows, columns, overlaps in sequence.frames:
        either = overlaps.sum(axis=0) + overlaps.sum(axis=1)[:, None] - overlaps
        likely[np.ix_(rows, columns)] += overlaps / np.maximum(either, 1e-12)
    alike = likely / (people + tracks - likely)
    shared = np.zeros((len(BOUNDS), people.size, tracks.size))
    for rows, columns, overlaps in sequence.frames:
        i, j = linear_sum_assignment(alike[np.ix_(rows, columns)] * overlaps, maximize=True)
        shared[:, rows[i], columns[j]] += overlaps[i, j] >= BOUNDS[:, None] - ROUNDING
    hits = shared.sum(axis=(1, 2))
    detection = hits / np.maximum(people.sum() + tracks.sum() - hits, 1)
    association = (shared**2 / (people + tracks - shared)).sum(axis=(1, 2)) / np.maximum(hits, 1)
    return detection, association


def _clear(sequence: _Sequence) -> tuple[int, int]:
    """Boxes that are a person's, and how often a person's track changes."""
    last, before = np.full((2, len(sequence.people)), -1)
    hits = switches = 0
    for rows, columns, overlaps in sequence.frames:
        if not overlaps.size:
            continue
        worth = overlaps + CONTINUED * (columns == before[rows][:, None])
        worth[overlaps < LEAST_OVERLAP - ROUNDING] = 0.0
        i, j = linear_sum_assignment(worth, maximize=True)
        same = worth[i, j] > 0
        who, track = rows[i[same]], columns[j[same]]
        switches += int(((last[who] >= 0) & (last[who] != track)).sum())
        before[:] = -1
        last[who] = before[who] = track
        hits += len(who)
    return hits, switches


def _identified(sequence: _Sequence) -> int:
    """Boxes of people by the one track of theirs, when each person has one track so that they are most."""
    shared = np.zeros((len(sequence.people), len(sequence.tracks)))
    for rows, columns, overlaps in sequence.frames:
        shared[np.ix_(rows, columns)] += overlaps >= LEAST_OVERLAP - ROUNDING
    return int(shared[linear_sum_assignment(shared, maximize=True)].sum())
