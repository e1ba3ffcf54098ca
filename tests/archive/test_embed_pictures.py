from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from archives import draw, draw_all, embed, parts, read, vectors

from edge_reid.archive.parts import METADATA
from edge_reid.bundle import Bundle
from edge_reid.gallery.enrolment import Shot, open_embed, read_shot
from edge_reid.people.detection import load_detector
from edge_reid.preprocess import read_image
from edge_reid.reference import bundle_path
from edge_reid.types import Modality

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS", "JOB_COMPLETION_INDEX", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("modality", ["visible", "thermal"])
def test_rows_are_what_one_picture_at_a_time_gives_to_the_gallery(modality: Modality, tmp_path: Path) -> None:
    names = draw_all(tmp_path / "archive", 11, modality)
    (tmp_path / "archive" / "notes.txt").write_text("no picture")
    assert embed(tmp_path / "archive", tmp_path / "out", "--batch", 4, "--block", 6, modality=modality) == 0
    assert parts(tmp_path / "out") == ["part-000000.parquet", "part-000001.parquet"]
    table = read(tmp_path / "out")
    assert table["path"].to_pylist() == names
    bundle = Bundle.open(bundle_path())
    shots = [read_shot(tmp_path / "archive" / name, modality, bundle.manifest.input_size, None) for name in names]
    with open_embed(bundle, modality) as one_by_one:
        expected = np.concatenate([one_by_one(shot.crop[None]) for shot in shots])
    np.testing.assert_allclose(vectors(table), expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors(table), axis=1), 1, atol=1e-5)
    assert table["quality"].to_pylist() == [pytest.approx(shot.quality) for shot in shots]
    sizes = [read_image(tmp_path / "archive" / name, modality).shape for name in names]
    assert table["box"].to_pylist() == [[0, 0, width, height] for height, width, *_ in sizes]
    assert set(table["modality"].to_pylist()) == {modality}
    for column in ("frame", "time", "score"):
        assert table[column].null_count == 11


def test_the_types_are_those_of_the_documentation(tmp_path: Path) -> None:
    draw(tmp_path / "archive" / "a.png", 0)
    assert embed(tmp_path / "archive", tmp_path / "out", "--shard", "0/3") == 0
    schema = pq.read_schema(tmp_path / "out" / "part-000000.parquet")
    assert {field.name: str(field.type).replace("element: ", "") for field in schema} == {
        "path": "string", "frame": "int64", "time": "double", "box": "fixed_size_list<float>[4]", "score": "float",
        "quality": "float", "modality": "string", "vector": "fixed_size_list<float>[512]",
    }  # fmt: skip
    told = json.loads(schema.metadata[METADATA])
    assert told["space"] == Bundle.open(bundle_path()).space
    assert (told["archive"], told["part"], told["shard"]) == (str((tmp_path / "archive").resolve()), 0, "0/3")
    assert told["computed_by"].startswith("onnxruntime")
    assert {"edge_reid", "manifest_sha256", "names_sha256"} <= told.keys()


@pytest.mark.parametrize("count", [2, 3, 7])
def test_shards_together_are_one_run_bit_for_bit(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_all(tmp_path / "archive", 23)
    sizes = ("--batch", 3, "--block", 5)
    assert embed(tmp_path / "archive", tmp_path / "alone", *sizes) == 0
    assert "shard" not in capsys.readouterr().err
    monkeypatch.setenv("WORLD_SIZE", str(count))
    for index in reversed(range(count)):
        monkeypatch.setenv("RANK", str(index))
        assert embed(tmp_path / "archive", tmp_path / "shared", *sizes) == 0
        assert f"shard {index}/{count}, by torchrun" in capsys.readouterr().err
    assert parts(tmp_path / "shared") == parts(tmp_path / "alone")
    assert read(tmp_path / "shared").equals(read(tmp_path / "alone"))


def test_shards_that_run_side_by_side_do_not_disturb_each_other(tmp_path: Path) -> None:
    draw_all(tmp_path / "archive", 40)
    sizes = ("--block", "4", "--batch", "4")
    words = ["embed", str(tmp_path / "archive"), "--out", str(tmp_path / "shared"), "--modality", "visible", *sizes]
    starts = [os.environ | {"SLURM_PROCID": str(index), "SLURM_NTASKS": "3"} for index in range(3)]
    command = [sys.executable, "-m", "edge_reid.cli", *words]
    shards = [subprocess.Popen(command, env=start, cwd=ROOT, stdout=subprocess.DEVNULL) for start in starts]
    assert [shard.wait() for shard in shards] == [0, 0, 0]
    assert embed(tmp_path / "archive", tmp_path / "alone", *sizes) == 0
    assert read(tmp_path / "shared").equals(read(tmp_path / "alone"))


def test_a_run_goes_on_with_what_is_not_there_also_as_other_shards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_all(tmp_path / "archive", 20)
    out, sizes = tmp_path / "out", ("--block", 4, "--json")
    assert embed(tmp_path / "archive", out, *sizes) == 0
    whole = read(out)
    lost = out / "part-000003.parquet"
    lost.unlink()
    (out / ".part-000003.killed.parquet").write_bytes(b"PAR1")
    times = {path: path.stat().st_mtime_ns for path in out.glob("part-*")}
    capsys.readouterr()
    for shard, done in (("0/2", (0, 3)), ("1/2", (1, 1)), ("1/2", (0, 2))):
        assert embed(tmp_path / "archive", out, *sizes, "--shard", shard) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["parts"], told["kept"]) == done
        assert told["items"] == 4 * told["parts"]
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert read(out).equals(whole)
    assert sorted(path.name for path in out.iterdir()) == ["_archive.json", *parts(out)]


def test_a_list_keeps_its_order_and_counts_from_its_own_folder(tmp_path: Path) -> None:
    draw_all(tmp_path / "archive", 6)
    elsewhere = draw(tmp_path / "elsewhere.png", 99)
    lines = ["b/deep/0005.png", "", str(elsewhere), "a/deep/0000.png", "b/deep/0005.png"]
    listed = tmp_path / "archive" / "list.txt"
    listed.write_text("\r\n".join(lines) + "\n", encoding="utf-8-sig")
    assert embed(listed, tmp_path / "out") == 0
    table = read(tmp_path / "out")
    assert table["path"].to_pylist() == [line for line in lines if line]
    found = vectors(table)
    assert np.array_equal(found[0], found[3])
    assert not np.allclose(found[0], found[2], atol=1e-3)


def test_everyone_whom_a_detector_finds_is_a_row(tmp_path: Path, people_in_streets: list[Path]) -> None:
    archive, out = people_in_streets[0].parent, tmp_path / "out"
    assert embed(archive, out, "--detector", "hog", "--least-score", 0.5, "--batch", 3) == 0
    bundle, detector = Bundle.open(bundle_path()), load_detector("hog", "visible")
    rows = []
    for path in people_in_streets:
        picture = read_image(path, "visible")
        found = detector.detect(picture)
        for box, score in zip(found.boxes, found.scores, strict=True):
            if score >= 0.5:
                rows.append((path.name, box, score, Shot.of(picture, box, bundle.manifest.input_size)))
    assert len(rows) > len(people_in_streets), "several people in a picture"
    table = read(out)
    assert table["path"].to_pylist() == [row[0] for row in rows]
    np.testing.assert_array_equal(np.array(table["box"].to_pylist(), np.float32), [row[1] for row in rows])
    np.testing.assert_array_equal(np.array(table["score"].to_pylist(), np.float32), [row[2] for row in rows])
    with open_embed(bundle, "visible") as one_by_one:
        expected = np.concatenate([one_by_one(row[3].crop[None]) for row in rows])
    np.testing.assert_allclose(vectors(table), expected, atol=1e-5)


def test_what_cannot_be_read_is_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    names = draw_all(archive, 10)
    (archive / "a" / "text.jpg").write_text("no picture")
    (archive / "b" / "empty.png").touch()
    for again in (False, True):
        assert embed(archive, out, "--block", 4) == 1, "the same answer whether it is done now or was before"
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert "text.jpg: not a picture that OpenCV can decode" in lines[0] and "(and 1 more): left out" in lines[0]
        assert sorted(read(out)["path"].to_pylist()) == names, again
    told = [json.loads(line) for path in sorted(out.glob("_skipped-*")) for line in path.read_text().splitlines()]
    assert [one["path"] for one in told] == ["a/text.jpg", "b/empty.png"]
    draw(archive / "a" / "text.jpg", 50)
    draw(archive / "b" / "empty.png", 51)
    for path in out.glob("_skipped-*"):
        (out / path.name.replace("_skipped", "part").replace("jsonl", "parquet")).unlink()
    assert embed(archive, out, "--block", 4) == 0
    assert len(read(out)) == 12
    assert not list(out.glob("_skipped-*"))


def test_a_disk_that_is_gone_ends_the_run_and_leaves_no_empty_parts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_all(tmp_path / "archive", 8)
    for number in range(200):
        (tmp_path / "archive" / f"c{number:03d}.png").symlink_to("/nowhere/picture.png")
    assert embed(tmp_path / "archive", tmp_path / "out", "--block", 4) == 2
    assert "nor can the 99 before it: see whether the disk is there" in capsys.readouterr().err
    assert 2 <= len(parts(tmp_path / "out")) < 2 + 100 / 4


def test_names_that_are_no_text_are_shown_as_bytes(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    picture = draw(archive / "plain.png", 1)
    try:
        picture.rename(Path(str(archive) + "/caf\udce9.png"))
    except OSError:
        pytest.skip("this file system takes text alone")
    assert embed(archive, tmp_path / "out") == 0
    assert read(tmp_path / "out")["path"].to_pylist() == ["caf\\xe9.png"]


def test_sixteen_bits_of_a_thermal_picture_count(tmp_path: Path) -> None:
    grey = cv2.imread(str(draw(tmp_path / "eight.png", 3, "thermal")), cv2.IMREAD_GRAYSCALE)
    (tmp_path / "archive").mkdir()
    cv2.imwrite(str(tmp_path / "archive" / "sixteen.png"), 29000 + 4 * np.asarray(grey, np.uint16))
    assert embed(tmp_path / "archive", tmp_path / "out", modality="thermal") == 0
    bundle = Bundle.open(bundle_path())
    shot = read_shot(tmp_path / "archive" / "sixteen.png", "thermal", bundle.manifest.input_size, None)
    assert shot.crop.max() > 200
    with open_embed(bundle, "thermal") as one_by_one:
        np.testing.assert_allclose(vectors(read(tmp_path / "out")), one_by_one(shot.crop[None]), atol=1e-5)
