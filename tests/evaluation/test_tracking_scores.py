from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from edge_reid.errors import UserError
from edge_reid.evaluation.mot import NumberedBoxes
from edge_reid.evaluation.tracking import score, score_tracks
from tests.people.recorded import PEER, numbered

Row = tuple[int, float]


def frames(rows: Mapping[int, list[Row]], visibility: float = 1.0) -> dict[int, NumberedBoxes]:
    """Boxes 40 wide and 100 high by frame from (number, left)."""
    return {
        frame: NumberedBoxes(
            np.array([number for number, _ in boxes], np.int64),
            np.array([[left, 0, left + 40, 100] for _, left in boxes], np.float32).reshape(-1, 4),
            np.full(len(boxes), visibility),
        )
        for frame, boxes in rows.items()
    }


@pytest.mark.parametrize("name", sorted(PEER))
def test_scores_are_those_of_an_independent_scorer(name: str) -> None:
    ours = asdict(score(numbered(f"{name}_tracks"), numbered(f"{name}_truth")))
    assert ours == pytest.approx(PEER[name], abs=1e-9)


def test_a_track_for_each_person_scores_one() -> None:
    truth = frames({frame: [(7, 0), (8, 100)] for frame in range(1, 6)})
    scores = score(frames({frame: [(1, 0), (2, 100)] for frame in range(1, 6)}), truth)
    assert (scores.hota, scores.detection_accuracy, scores.association_accuracy) == pytest.approx((1, 1, 1))
    assert (scores.idf1, scores.mota) == (1.0, 1.0)
    assert (scores.switches, scores.found, scores.missed, scores.false) == (0, 10, 0, 0)


def test_a_person_with_two_tracks_one_after_the_other_is_half_known() -> None:
    truth = frames({frame: [(7, 0)] for frame in range(1, 5)})
    scores = score(frames({1: [(1, 0)], 2: [(1, 0)], 3: [(2, 0)], 4: [(2, 0)]}), truth)
    assert (scores.switches, scores.found, scores.mota) == (1, 4, 0.75)
    assert scores.idf1 == 0.5, "two of four boxes are of the person's one track"
    assert scores.association_accuracy == pytest.approx(0.5)
    assert scores.hota == pytest.approx(np.sqrt(0.5))


def test_a_box_at_the_bound_is_found() -> None:
    # 40 wide, 20 and 10 to the side: overlaps of 20/60 and 30/50
    truth = frames({1: [(7, 0)], 2: [(7, 0)]})
    scores = score(frames({1: [(1, 20)], 2: [(1, 10)]}), truth)
    assert (scores.found, scores.missed, scores.false) == (1, 1, 1)
    # bounds up to 0.3 take both boxes, up to 0.6 the second: of 3 boxes seen or true it is 1, and so for the identity
    assert scores.detection_accuracy == pytest.approx((6 * 1 + 6 / 3) / 19)


def test_whoever_is_mostly_hidden_is_neither_asked_for_nor_a_mistake() -> None:
    truth = frames({1: [(7, 0)], 2: [(7, 0)]})
    hidden = frames({2: [(7, 0)]}, visibility=0.3)
    scores = score(frames({1: [(1, 0)], 2: [(1, 0)]}), truth | hidden)
    assert (scores.found, scores.missed, scores.false, scores.idf1) == (1, 0, 0, 1.0)
    assert score(frames({1: [(1, 0)]}), truth | hidden) == scores
    away = score(frames({1: [(1, 0)], 2: [(1, 200)]}), truth | hidden)
    assert (away.found, away.missed, away.false) == (1, 0, 1)


def test_nobody_and_nothing_score_nothing() -> None:
    some = frames({1: [(1, 0)]})
    for found, truth in (({}, some), (some, {}), ({}, {})):
        scores = score(found, truth)
        assert (scores.hota, scores.idf1, scores.mota, scores.found) == (0.0, 0.0, 0.0, 0)


def write(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def test_both_cameras_of_a_scene_are_scored_from_their_files(tmp_path: Path) -> None:
    truth = "1,7,0,0,40,100,1,1,1.0\n2,7,0,0,40,100,1,1,1.0\n"
    scene = write(tmp_path / "scene", gt_visible=truth, gt_thermal=truth)
    tracks = write(tmp_path / "tracks", visible="1,1,0,0,40,100,0.9,-1,-1,-1\n", thermal=truth)
    scores = score_tracks(tracks, scene)
    assert (scores["visible"].idf1, scores["thermal"].idf1) == (pytest.approx(2 / 3), 1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,7,0,0\n", "visible.txt:1: expected 9 numbers"),
        ("nan,7,0,0,1,1,1,1,1\n", "visible.txt:1: expected 9 numbers"),
        ("1,7,0,0,1,1,1,1,1\n1,7,5,5,1,1,1,1,1\n", "frame 1 has a number twice"),
    ],
)
def test_malformed_tracks_are_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    scene = write(tmp_path / "scene", gt_visible="", gt_thermal="")
    with pytest.raises(UserError, match=message):
        score_tracks(write(tmp_path / "tracks", visible=text, thermal=""), scene)


def test_a_file_that_is_no_text_is_told_in_one_line(tmp_path: Path) -> None:
    scene = write(tmp_path / "scene", gt_visible="", gt_thermal="")
    tracks = write(tmp_path / "tracks", thermal="")
    (tracks / "visible.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not text"):
        score_tracks(tracks, scene)
