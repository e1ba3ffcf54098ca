"""What `edge-reid embed` refuses: in one line, before it has done or written anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from archives import draw, draw_all, embed, parts, read

ROOT = Path(__file__).parents[2]


def told(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("archive", "words", "line"),
    [
        ("nowhere", [], "nowhere: cannot be read (No such file or directory); name a folder of pictures, a list or"),
        ("empty", [], "empty: holds no picture (.png, .jpg"),
        ("empty.txt", [], "empty.txt: names no picture, one a line"),
        ("list.txt", [], "list.txt: gone.png is no file, nor are 1 more; mend the list, whose paths count from"),
        ("fine/1.png", [], "1.png: is no folder and no list, and a video needs --detector"),
        ("noise.mp4", ["--detector", "hog"], "noise.mp4: does not open; give a video file that FFmpeg can decode"),
        ("fine", ["--detector", "motion"], "--detector motion: sees nothing in a single picture"),
        ("fine", ["--detector", "hot"], "detector hot: finds warmth, and this camera is visible"),
        ("fine", ["--bundle", "fine"], "fine: not a bundle"),
        ("fine", ["--engine", "tensorrt"], "tensorrt"),
        ("fine", ["--batch", "0"], "--batch 0: needs at least 1"),
        ("fine", ["--block", "0"], "--block 0: needs at least 1"),
        ("fine", ["--least-score", "1.5"], "--least-score 1.5: needs a number from 0 to 1"),
        ("fine", ["--shard", "2/2"], "--shard 2/2: names no shard"),
        ("fine", ["--out", "other"], "--out other: holds other files and no _archive.json; choose an empty or a new"),
        ("fine", ["--out", "list.txt/out"], "--out list.txt/out: cannot be used (Not a directory); choose another"),
    ],
)
def test_a_wrong_request_is_one_line_and_nothing_is_written(
    archive: str,
    words: list[str],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    draw(Path("fine/1.png"), 1)
    for folder in ("empty", "other"):
        Path(folder).mkdir()
    Path("other/mine").touch()
    Path("empty.txt").write_text("\n")
    Path("list.txt").write_text("fine/1.png\ngone.png\nlost.png\n")
    Path("noise.mp4").write_bytes(bytes(5000))
    there = sorted(tmp_path.rglob("*"))
    assert embed(Path(archive), Path("out"), *words) == 2
    assert line in told(capsys)
    assert sorted(tmp_path.rglob("*")) == there


def test_another_request_does_not_come_into_the_same_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    draw_all(archive, 4)
    assert embed(archive, out) == 0
    draw(tmp_path / "elsewhere" / "a.png", 1)
    capsys.readouterr()
    for folder, words, what in (
        (archive, ["--batch", 3], "batch was 32, now 3"),
        (archive, ["--block", 3], "block was 1024, now 3"),
        (archive, ["--engine", "onnxruntime"], "engine was None, now onnxruntime"),
        (archive, ["--detector", "hog"], "detector was None, now hog"),
        (tmp_path / "elsewhere", [], f"archive was {archive.resolve()}, now"),
    ):
        assert embed(folder, out, *words) == 2
        assert f"--out {out}: holds vectors of another request ({what}" in told(capsys)
    assert embed(archive, out, modality="thermal") == 2
    assert "modality was visible, now thermal" in told(capsys)
    draw(archive / "new.png", 9)
    assert embed(archive, out) == 2
    assert "pictures was 4, now 5" in told(capsys)
    (archive / "new.png").unlink()
    (out / "_archive.json").write_text("{")
    assert embed(archive, out) == 2
    assert "_archive.json: not what `edge-reid embed` wrote; choose another --out" in told(capsys)


def test_a_mended_list_may_use_the_folder_that_the_broken_one_was_refused_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(tmp_path / "a.png", 1)
    listed = tmp_path / "list"
    listed.write_text("a.png\ngone.png\n")
    assert embed(listed, tmp_path / "out") == 2
    listed.write_text("a.png\n")
    assert embed(listed, tmp_path / "out") == 0


def test_a_full_disk_is_one_line_and_with_room_it_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file system of 160 kB stands for a full disk; without the right to mount one the test is skipped."""
    draw_all(tmp_path / "archive", 200)
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        assert embed(tmp_path / "archive", disk / "out", "--block", 20) == 2
        line = told(capsys)
        assert "parquet: cannot be written (No space left on device); make room there and run the same" in line
        there = parts(disk / "out")
        assert 0 < len(there) < 10 and f"part-{len(there):06d}.parquet" in line
        assert len(read(disk / "out")) == 20 * len(there)
        subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
        assert embed(tmp_path / "archive", disk / "out", "--block", 20, "--json") == 0
        assert json.loads(capsys.readouterr().out)["kept"] == len(there)
        assert embed(tmp_path / "archive", tmp_path / "whole", "--block", 20) == 0
        assert read(disk / "out").equals(read(tmp_path / "whole"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

absent = sys.argv.pop(1)
sys.meta_path.insert(0, Absent())
from edge_reid.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("absent", "line"), [("torch", None), ("pyarrow", "pip install 'edge-reid[archive]'")])
def test_torch_is_not_needed_and_pyarrow_is_asked_for(absent: str, line: str | None, tmp_path: Path) -> None:
    draw(tmp_path / "archive" / "1.png", 1)
    words = ["embed", str(tmp_path / "archive"), "--out", str(tmp_path / "out"), "--modality", "visible"]
    asked = subprocess.run([sys.executable, "-c", WITHOUT, absent, *words], cwd=ROOT, capture_output=True, text=True)
    if line is None:
        assert asked.returncode == 0, asked.stderr
        assert len(read(tmp_path / "out")) == 1
    else:
        assert asked.returncode == 2
        assert asked.stderr == f"edge-reid: {absent} is not installed; {line}\n"
        assert not (tmp_path / "out").exists()
