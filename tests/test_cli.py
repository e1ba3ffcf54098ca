"""The command line: what it refuses, how, and with which exit code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tyro
from documented import calls_of

from edge_reid.cli import Command, main


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
        (["synth", "people", "--seed", "-1"], "--seed"),
        (["synth", "people", "--size", "640", "320"], "--size 16 to 512"),
        (["evaluate", "reference", "nowhere", "--trials", "0"], "--trials 0"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_wrong_request_gets_one_line_and_exit_code_two(
    words: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
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


def answer(words: list[str | Path], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The JSON document that a command prints on its last line."""
    assert main([*map(str, words), "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return document


def test_the_line_from_people_to_a_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people, run, bundle = tmp_path / "people", tmp_path / "run", tmp_path / "bundle"
    drawn = [
        "synth",
        people,
        "--identities",
        6,
        "--test-identities",
        4,
        "--pictures",
        2,
        "--size",
        64,
        32,
        "--workers",
        1,
    ]
    assert main([str(word) for word in drawn]) == 0
    assert "40 pictures of 6 + 4 people" in capsys.readouterr().out
    small = [
        "--width",
        0.25,
        "--size",
        64,
        32,
        "--granularities",
        2,
        "--part-dim",
        16,
        "--identities",
        3,
        "--pictures",
        2,
    ]
    trained = ["train", people, "--out", run, *small, "--epochs", 1, "--steps", 2, "--workers", 0, "--validate", 2]
    assert main([str(word) for word in trained]) == 0
    model = run / "model.safetensors"
    assert f"the model is {model}" in capsys.readouterr().out
    measured = answer(["evaluate", model, people, "--baselines", "--sheet", tmp_path / "sheet.png"], capsys)
    assert [e["query_modality"] for e in measured["evaluations"]] == ["thermal", "visible"]
    assert set(measured["baselines"]) == {"raw pixels", "silhouettes", "untrained network"}
    assert "people (synthetic), thermal -> visible, 8 queries" in measured["evaluations"][0]["protocol"]
    target = tmp_path / "few.toml"  # one block in 8 bits: its layers are soon tried one by one
    int8 = "activations = 'unsigned'\nplacement = 'all'\nkeep_float = ['(?!trunk.2.0).*']"
    target.write_text(f"about = 'few'\nbackend = 'onnxruntime'\nstreams = 'merged'\n[int8]\n{int8}\n")
    export = ["export", model, "--int8", "--calibration", people, "--target", target, "--out", bundle]
    manifest = answer([*export, "--gate", 100], capsys)
    assert manifest["gate_passed"] is True
    briefly = ["--batches", 1, "--rivals", "--seconds", 0.05]
    timed = answer(["benchmark", bundle, "--data", people, *briefly], capsys)
    rows = {(row["engine"], row["precision"], row["modality"]): row for row in timed["rows"]}
    assert len(rows) == 10
    for row in rows.values():
        assert row["rank1"] is not None and "synthetic" in row["protocol"]
        assert row["threads"] == timed["machine"]["threads"]
    assert main([str(word) for word in ["benchmark", bundle, *briefly, "--no-cold"]]) == 0
    assert "onnxruntime int8" in capsys.readouterr().out
    assert main(["export", str(model), "--out", str(bundle), "--overwrite"]) == 0
    assert "3 files" in capsys.readouterr().out


def test_people_that_only_one_modality_shows_are_told(tmp_path: Path, tiny_data: Path, tiny_checkpoint: Path) -> None:
    root = tmp_path / "people"
    shutil.copytree(tiny_data, root)
    for number, folder in enumerate(sorted((root / "test" / "thermal").iterdir())):
        folder.rename(folder.with_name(f"{200 + number:05d}"))
    asked = edge_reid("evaluate", tiny_checkpoint, root, cwd=tmp_path)
    assert asked.returncode == 2
    assert asked.stderr.strip().endswith("the test pictures of both modalities must show the same people")


@pytest.mark.parametrize("words", calls_of("edge-reid"), ids=" ".join)
def test_every_command_of_the_readme_and_of_the_demo_is_understood(words: list[str]) -> None:
    assert tyro.cli(Command, args=words)  # type: ignore[call-overload]
