from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from archives import embed, parts, read, vectors

from edge_reid.bundle import Bundle
from edge_reid.gallery.enrolment import Shot, open_embed
from edge_reid.people.detection import load_detector
from edge_reid.reference import bundle_path
from edge_reid.types import Modality


def test_rows_of_a_video_are_what_one_frame_at_a_time_gives(scene: Path, tmp_path: Path) -> None:
    words = ("--detector", "hog?every=7", "--least-score", 0.5, "--block", 4)
    assert embed(scene / "visible.avi", tmp_path / "out", *words) == 0
    bundle, detector = Bundle.open(bundle_path()), load_detector("hog", "visible")
    video, rows, number = cv2.VideoCapture(str(scene / "visible.avi")), [], 0
    rate = video.get(cv2.CAP_PROP_FPS)
    with open_embed(bundle, "visible") as one_by_one:
        while (answer := video.read())[0]:
            found = detector.detect(np.asarray(answer[1], np.uint8)) if number % 7 == 0 else None
            for i in np.flatnonzero(found.scores >= 0.5) if found else ():
                shot = Shot.of(np.asarray(answer[1], np.uint8), found.boxes[i], bundle.manifest.input_size)
                rows.append((number, found.boxes[i], shot.quality, one_by_one(shot.crop[None])[0]))
            number += 1
    assert len(rows) > 10
    table = read(tmp_path / "out")
    assert table["frame"].to_pylist() == [row[0] for row in rows]
    assert table["time"].to_pylist() == [pytest.approx(row[0] / rate) for row in rows]
    assert set(table["path"].to_pylist()) == {"visible.avi"}
    np.testing.assert_array_equal(np.array(table["box"].to_pylist(), np.float32), [row[1] for row in rows])
    np.testing.assert_allclose(table["quality"].to_pylist(), [row[2] for row in rows], rtol=1e-6)
    np.testing.assert_allclose(vectors(table), [row[3] for row in rows], atol=1e-5)


@pytest.mark.parametrize(("modality", "detector"), [("visible", "hog?every=3"), ("thermal", "hot")])
def test_shards_of_a_video_together_are_one_run_bit_for_bit(
    modality: Modality, detector: str, scene: Path, tmp_path: Path
) -> None:
    video, words = scene / f"{modality}.avi", ("--detector", detector, "--block", 7, "--batch", 5)
    assert embed(video, tmp_path / "alone", *words, modality=modality) == 0
    assert len(read(tmp_path / "alone")) > 10
    for count in (2, 5):
        out = tmp_path / str(count)
        for index in (*range(1, count), 0):
            assert embed(video, out, *words, "--shard", f"{index}/{count}", modality=modality) == 0
        assert parts(out) == parts(tmp_path / "alone")
        assert read(out).equals(read(tmp_path / "alone"))


def test_a_video_goes_on_where_it_stopped(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--detector", "hog?every=9", "--block", 2, "--json")
    assert embed(scene / "visible.avi", tmp_path / "out", *words) == 0
    whole = read(tmp_path / "out")
    items = json.loads(capsys.readouterr().out)["items"]
    assert items == -(-90 // 9)
    for number in (1, 4):
        (tmp_path / "out" / f"part-{number:06d}.parquet").unlink()
    assert embed(scene / "visible.avi", tmp_path / "out", *words) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["parts"], told["kept"], told["items"], told["warning"]) == (2, 3, 4, None)
    assert read(tmp_path / "out").equals(whole)


def test_more_shards_than_parts_leave_some_with_nothing(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed(scene / "visible.avi", tmp_path / "out", "--detector", "hog?every=30", "--shard", "3/9") == 0
    assert parts(tmp_path / "out") == []
    assert "0 files written; 0 vectors of 0 pictures" in capsys.readouterr().out


def test_a_video_that_is_cut_short_is_told(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = (scene / "visible.avi").read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(content[: len(content) // 2])
    assert embed(cut, tmp_path / "out", "--detector", "hog?every=15") == 0
    shown = capsys.readouterr()
    assert "cut.avi: ends after" in shown.err and "of 90 that it announces" in shown.err
