from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_reid.errors import UserError
from edge_reid.evaluation.matches import score_matches


def row(frame: int, number: int, left: float, *, visibility: float = 1.0) -> str:
    return f"{frame},{number},{left},100,40,100,1,1,{visibility}\n"


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Four frames, two a second: person 7 at 100 and person 8 at 300 in both views.

    In the thermal view 8 is hidden in frame 3 and cut by the edge in frame 4.
    """
    folder = tmp_path / "scene"
    folder.mkdir()
    (folder / "scene.json").write_text(json.dumps({"fps": 2, "frames": 4, "size": [480, 640]}))
    visible = [row(frame, 7, 100) + row(frame, 8, 300) for frame in range(1, 5)]
    thermal = [row(frame, 7, 100) for frame in range(1, 5)]
    thermal += [row(1, 8, 300), row(2, 8, 300), row(3, 8, 300, visibility=0.3), row(4, 8, -5)]
    (folder / "gt_visible.txt").write_text("".join(visible))
    (folder / "gt_thermal.txt").write_text("".join(thermal))
    return folder


def write_tracks(folder: Path, visible: str, thermal: str, links: str) -> Path:
    folder.mkdir()
    for name, text in (("visible", visible), ("thermal", thermal), ("links", links)):
        (folder / f"{name}.txt").write_text(text)
    return folder


def test_a_perfect_run_scores_one(scene: Path, tmp_path: Path) -> None:
    both = "".join(row(frame, 1, 100) + row(frame, 2, 300) for frame in range(1, 5))
    thermal = "".join(row(frame, 11, 100) + row(frame, 12, 300) for frame in range(1, 4))
    links = "".join(f"{frame},{frame},1,11,1,0.9\n{frame},{frame},2,12,2,0.9\n" for frame in range(1, 4))
    tracks = write_tracks(tmp_path / "tracks", both, thermal + row(4, 11, 100), links + "4,4,1,11,1,0.9\n")
    scores = score_matches(tracks, scene)
    # asked for: person 7 in four frames, person 8 in frames 1 and 2; the link of 8 in frame 3 is right, not asked for
    assert (scores.asked_links, scores.found_links) == (6, 6)
    assert (scores.shown_links, scores.right_links) == (7, 7)
    assert (scores.link_precision, scores.link_recall) == (1.0, 1.0)
    assert (scores.bindings, scores.right_bindings, scores.asked_people, scores.bound_people) == (2, 2, 2, 2)


def test_wrong_links_doubtful_boxes_and_late_links_are_counted(scene: Path, tmp_path: Path) -> None:
    visible = "".join(row(frame, 1, 100) + row(frame, 2, 300) for frame in range(1, 5))
    thermal = (
        row(1, 11, 100) + row(1, 12, 300)
        + row(2, 11, 100) + row(2, 12, 300)
        + row(3, 11, 100)
        + row(4, 11, 130)  # overlaps person 7 by 10 of 70
    )  # fmt: skip
    links = (
        "1,1,1,12,1,0.6\n"  # 7 with 8: wrong
        "2,2,1,11,1,0.8\n"  # right
        "3,3,1,11,1,0.8\n"  # right
        "4,4,1,11,1,0.8\n"  # the thermal box is nobody's
    )
    scores = score_matches(write_tracks(tmp_path / "tracks", visible, thermal, links), scene)
    assert (scores.shown_links, scores.right_links) == (4, 2)
    assert scores.link_precision == 0.5
    assert (scores.asked_links, scores.found_links) == (6, 2)
    assert scores.link_recall == pytest.approx(1 / 3)
    # couples 1-12 and 1-11; most of 1 and of 11 is person 7; 8 is asked for (two frames are a second) and never bound
    assert (scores.bindings, scores.right_bindings) == (2, 1)
    assert (scores.binding_precision, scores.binding_recall) == (0.5, 0.5)


def test_a_person_together_in_sight_for_less_than_a_second_is_not_asked_for_as_a_binding(
    scene: Path, tmp_path: Path
) -> None:
    (scene / "scene.json").write_text(json.dumps({"fps": 3, "frames": 4, "size": [480, 640]}))
    scores = score_matches(write_tracks(tmp_path / "tracks", "", "", ""), scene)
    assert (scores.asked_people, scores.bound_people, scores.binding_recall) == (1, 0, 0.0)
    assert scores.link_precision == 0.0


def test_each_box_is_one_person_and_the_better_one_gets_it(scene: Path, tmp_path: Path) -> None:
    visible = "".join(row(frame, 1, 108) + row(frame, 2, 101) for frame in range(1, 5))
    thermal = "".join(row(frame, 11, 100) for frame in range(1, 5))
    links = "".join(f"{frame},{frame},1,11,1,0.9\n" for frame in range(1, 5))
    scores = score_matches(write_tracks(tmp_path / "tracks", visible, thermal, links), scene)
    assert (scores.right_links, scores.right_bindings) == (0, 0)


def test_missing_and_malformed_files_are_named(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.visible.txt: cannot be read"):
        score_matches(tmp_path / "none", scene)
    tracks = write_tracks(tmp_path / "tracks", "1,2,three\n", "", "")
    with pytest.raises(UserError, match=r"visible.txt:1: expected 9 numbers"):
        score_matches(tracks, scene)
