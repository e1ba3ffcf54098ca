"""The command line: what it refuses, how, and with which exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge_reid.cli import main


def edge_reid(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_reid.cli", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for command in ("demo", "synth", "train", "evaluate", "export", "benchmark", "doctor"):
        assert command in shown


def test_help_does_not_import_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from edge_reid.cli import main\n"
        "try: main(['train', '--help'])\n"
        "except SystemExit: pass\n"
        "print('torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert shown.stdout.splitlines()[-1] == "False"


def test_a_misspelt_option_is_refused(tmp_path: Path) -> None:
    asked = edge_reid("synth", "people", "--identites", "4", cwd=tmp_path)
    assert asked.returncode == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["synth", "people", "--cameras", "3"], "--cameras 3"),
        (["train", "nowhere"], "nowhere"),
        (["evaluate", "missing.safetensors", "people"], "missing.safetensors"),
        (["export", "missing.pt", "--out", "bundle"], "missing.pt"),
        (["benchmark", "no-bundle"], "no-bundle"),
        (["evaluate", "reference", "nowhere", "--data-set", "sysu"], "train_id.txt"),
        (["train", "nowhere", "--data-set", "regdb", "--split", "0"], "--split 0"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_wrong_request_gets_one_line_and_exit_code_two(tmp_path: Path, words: list[str], expected: str) -> None:
    asked = edge_reid(*words, cwd=tmp_path)
    lines = asked.stderr.strip().splitlines()
    assert asked.returncode == 2, asked.stderr
    assert len(lines) == 1
    assert lines[0].startswith("edge-reid: ")
    assert expected in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_where_an_error_came_from(tmp_path: Path) -> None:
    asked = edge_reid("train", "nowhere", "--debug", cwd=tmp_path)
    assert "Traceback" in asked.stderr
    assert asked.returncode != 0


def test_a_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    """A file system of 300 kB stands for a full disk; without the right to mount one the test is skipped."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        asked = edge_reid("synth", disk / "people", "--identities", "40", "--test-identities", "1", cwd=tmp_path)
        assert asked.returncode == 2, asked.stderr
        assert "no space left" in asked.stderr.strip().splitlines()[-1]
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)
