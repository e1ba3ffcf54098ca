"""What is wrong with a command line is one line, of `edge-reid` and of the scripts alike."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge_reid.cli import main

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("gallery lst", "no command 'lst'; one of list, show, enrol, "),
        ("galery list", "no command 'galery'; one of demo, synth, "),
        ("gallery", "a command is missing; one of list, show, "),
        ("synth", "PATH (Folder to write; it must not exist) is missing; see `edge-reid synth --help`"),
        (
            "gallery enrol",
            "PATH (The gallery) and STR (The person's) are missing; see `edge-reid gallery enrol --help`",
        ),
        ("export x", "--out is missing; see `edge-reid export --help`"),
        ("synth p q", "'q' is one word too many; see --help"),
        ("synth p --identites 4", "no option --identites; did you mean --identities?; see --help"),
        ("synth p --identities four", "--identities 'four': needs a whole number; see --help"),
        ("synth p --size", "--size needs 2 values; see "),
        ("train x --out y --size 1", "--size '1': needs two whole numbers; see "),
        ("compile b --engine foo", "--engine 'foo': choose from ncnn, openvino, ort, tensorrt; see "),
    ],
)
@pytest.mark.parametrize("columns", [80, 40])
def test_a_mistake_is_one_line_and_exit_code_two(
    line: str, told: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(line.split()) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"edge-reid: {told}")
    assert errors.count("\n") == 1


def test_a_mistake_shows_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gallery", "list", "people.gallery", "rtsp://me:hunter2@camera/x"]) == 2
    errors = capsys.readouterr().err
    assert "'rtsp://***@camera/x' is one word too many" in errors
    assert "hunter2" not in errors


@pytest.mark.parametrize("script", ["align_cameras", "dual_camera", "enrol"])
def test_scripts_tell_theirs_alike(script: str) -> None:
    words = [sys.executable, ROOT / "apps" / f"{script}.py", "--visible", "a.avi", "--thermal", "--debug"]
    ran = subprocess.run([str(word) for word in words], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert ran.returncode != 0 and "UserError: --thermal needs a value; see --help" in ran.stderr
    ran = subprocess.run(
        [str(word) for word in words[:-1]], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (2, f"{script}: --thermal needs a value; see --help\n")


@pytest.mark.parametrize("program", ["-m edge_reid.cli", f"{ROOT}/apps/enrol.py"])
def test_whoever_stops_reading_hears_no_complaint(program: str) -> None:
    running = subprocess.Popen(
        [sys.executable, *program.split(), "--help"],
        env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert running.stdout is not None and running.stderr is not None
    running.stdout.close()
    assert running.stderr.read() == ""
    assert running.wait() == 141
