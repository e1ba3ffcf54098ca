"""A device installs neither torch nor torchvision: shown in an environment that has neither."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DISPLAY")}
    return subprocess.run([str(word) for word in command], cwd=cwd, env=clean, capture_output=True, text=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def device(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment with the wheel and what a device needs."""
    folder = tmp_path_factory.mktemp("device") / "venv"
    assert run(sys.executable, "-m", "venv", folder, cwd=folder.parent).returncode == 0
    python = folder / "bin" / "python"
    installed = run(python, "-m", "pip", "install", "-q", f"{wheel}[camera]", cwd=folder.parent)
    assert installed.returncode == 0, installed.stderr
    return python


def test_the_wheel_holds_exactly_the_three_packages(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "edge_reid",
        "edge_reid_calibration",
        "edge_reid_export",
    }


def test_the_device_has_no_torch_and_imports_all_that_it_needs(device: Path, tmp_path: Path) -> None:
    assert "No module named 'torch'" in run(device, "-c", "import torch", cwd=tmp_path).stderr
    modules = "edge_reid, edge_reid.engines, edge_reid.bundle, edge_reid.evaluation, edge_reid.people, edge_reid.cli"
    imported = run(device, "-c", f"import {modules}", cwd=tmp_path)
    assert imported.returncode == 0, imported.stderr


def test_the_app_explains_itself_without_torch(device: Path, tmp_path: Path) -> None:
    shown = run(device, ROOT / "apps" / "dual_camera.py", "--help", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    for option in ("--bundle", "--visible", "--thermal", "--detector", "--headless", "--events", "--record"):
        assert option in shown.stdout


def test_the_app_runs_the_model_that_the_wheel_carries(device: Path, tmp_path: Path) -> None:
    filmed = run(
        device, "-m", "edge_reid.cli", "synth", "scene", "--scene", "--seconds", "6", "--people", "3", cwd=tmp_path
    )
    assert filmed.returncode == 0, filmed.stderr
    app = [ROOT / "apps" / "dual_camera.py", "--visible", "scene/visible.avi", "--thermal", "scene/thermal.avi"]
    worked = run(device, *app, "--offline", "--headless", "--json", "--events", "events.jsonl", cwd=tmp_path)
    assert worked.returncode == 0, worked.stderr
    assert json.loads(worked.stdout.splitlines()[-1])["frames"]["visible"] == 90
    kinds = {json.loads(line)["event"] for line in (tmp_path / "events.jsonl").read_text().splitlines()}
    assert "track_started" in kinds


def test_the_benchmark_measures_without_torch_and_draws_no_plot_without_matplotlib(
    device: Path, tmp_path: Path
) -> None:
    asked = ["benchmark", "--batches", "1", "--seconds", "0.05", "--out", "speed", "--json"]
    measured = run(device, "-m", "edge_reid.cli", *asked, cwd=tmp_path)
    assert measured.returncode == 0, measured.stderr
    record = json.loads(measured.stdout.splitlines()[-1])
    rows = {(row["engine"], row["precision"], row["modality"]): row for row in record["rows"]}
    assert "torch" in rows["torch", "fp32", "visible"]["error"]
    assert rows["onnxruntime", "int8", "visible"]["cosine_with"] == "onnxruntime fp32"
    assert 0 < rows["onnxruntime", "int8", "visible"]["peak_bytes"] < 500e6
    assert record["choice"]["engines"]["thermal"]["backend"] == "onnxruntime"
    assert "No plot: matplotlib is not installed" in (tmp_path / "speed" / "benchmark.html").read_text()


def test_a_command_that_needs_torch_says_what_to_install(device: Path, tmp_path: Path) -> None:
    asked = run(device, "-m", "edge_reid.cli", "evaluate", "reference", tmp_path, cwd=tmp_path)
    assert asked.returncode == 2
    assert asked.stderr.strip().splitlines()[-1].startswith("edge-reid: torch is not installed; pip install")


def test_embed_says_what_to_install(device: Path, tmp_path: Path) -> None:
    words = ["embed", tmp_path, "--out", "out", "--modality", "visible"]
    asked = run(device, "-m", "edge_reid.cli", *words, cwd=tmp_path)
    assert asked.stderr == "edge-reid: pyarrow is not installed; pip install 'edge-reid[archive]'\n"
