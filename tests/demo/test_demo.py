"""The demo: steps that are done once, and a report that says what their records say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_reid.bundle import Accuracy, Layers, Precision, Result
from edge_reid.demo import Step, run_steps, steps
from edge_reid.errors import CheckFailed, UserError
from edge_reid.report import write_report
from edge_reid.training.curve import write_curve


def test_a_second_run_begins_at_the_first_step_that_is_not_finished(tmp_path: Path) -> None:
    count = "p.open('a').write('x'); print('{\\\"runs\\\": %d}' % len(p.read_text()))"
    todo = [
        Step("first", "Count", f"python -c \"import pathlib; p = pathlib.Path('{tmp_path}/first'); {count}\""),
        Step("second", "Need a file", f"python -c \"open('{tmp_path}/needed').read()\"", "half"),
    ]
    (tmp_path / "half").mkdir()
    with pytest.raises(CheckFailed, match="step second ended with exit code 1"):
        run_steps(todo, tmp_path)
    assert not (tmp_path / "half").exists(), "what the unfinished step had left is gone"
    assert not (tmp_path / "steps" / "second.json").exists()
    (tmp_path / "needed").write_text("here")
    run_steps(todo, tmp_path)
    assert (tmp_path / "first").read_text() == "x", "the first step ran once"
    record = json.loads((tmp_path / "steps" / "first.json").read_text())
    assert (record["printed"], record["command"]) == ({"runs": 1}, todo[0].command)
    assert record["seconds"] > 0 < record["peak_bytes"]


def test_a_changed_command_is_run_again_and_all_that_follow_it(tmp_path: Path) -> None:
    def numbered(number: int) -> list[Step]:
        write = "import pathlib; pathlib.Path('{0}/{1}').open('a').write('x')"
        return [
            Step(name, name, f'python -c "{write.format(tmp_path, name)}{" " * (number * (name == "b"))}"', makes)
            for name, makes in (("a", None), ("b", None), ("c", "left"))
        ]

    run_steps(numbered(0), tmp_path)
    (tmp_path / "left").write_text("of the first run")
    run_steps(numbered(1), tmp_path)
    assert [(tmp_path / name).read_text() for name in "abc"] == ["x", "xx", "xx"]
    assert not (tmp_path / "left").exists()


def test_what_follows_a_step_that_was_run_again_is_old_even_after_an_interruption(tmp_path: Path) -> None:
    def steps_with(breaks: str) -> list[Step]:
        write = "import pathlib; pathlib.Path('{0}/{1}').open('a').write('x')"
        todo = [Step(name, name, f'python -c "{write.format(tmp_path, name)}"', None) for name in "abc"]
        return [todo[0], Step("b", "b", todo[1].command.replace("import", f"{breaks}import")), todo[2]]

    run_steps(steps_with(""), tmp_path)
    (tmp_path / "steps" / "a.json").unlink()
    with pytest.raises(CheckFailed):
        run_steps(steps_with("broken; "), tmp_path)
    run_steps(steps_with(""), tmp_path)
    assert [(tmp_path / name).read_text() for name in "abc"] == ["xx", "xx", "xx"]


def test_ctrl_c_lets_the_running_step_finish_its_work(tmp_path: Path) -> None:
    step = (
        "import pathlib, signal, sys, time\n"
        "def save(*_):\n"
        "    time.sleep(0.3)\n"
        f"    pathlib.Path('{tmp_path}/saved').write_text('whole')\n"
        "    sys.exit(130)\n"
        "signal.signal(signal.SIGINT, save)\n"
        f"pathlib.Path('{tmp_path}/begun').write_text('x')\n"
        "time.sleep(60)\n"
    )
    (tmp_path / "step.py").write_text(step)
    demo = (
        "from pathlib import Path; from edge_reid.demo import Step, run_steps\n"
        f"run_steps([Step('one', 'One', 'python {tmp_path}/step.py')], Path('{tmp_path}'))"
    )
    process = subprocess.Popen([sys.executable, "-c", demo], start_new_session=True, stderr=subprocess.DEVNULL)
    while not (tmp_path / "begun").exists():
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=30) != 0
    assert (tmp_path / "saved").read_text() == "whole"
    assert not (tmp_path / "steps" / "one.json").exists()


def evaluation(query: str, rank1: float) -> dict[str, Any]:
    numbers = dict.fromkeys(("rank5", "rank10", "mean_ap", "mean_inp"), 0.5)
    gallery = "visible" if query == "thermal" else "thermal"
    return {"query_modality": query, "gallery_modality": gallery, "rank1": rank1, "protocol": "so and so", **numbers}


def both(first: float, second: float) -> list[dict[str, Any]]:
    return [evaluation("thermal", first), evaluation("visible", second)]


def accuracy(target: str | None, precision: Precision, rank1: tuple[float, float]) -> dict[str, Any]:
    """As the manifest has it, by the manifest's own model."""
    counts = {"identities": 3, "queries": 9, "trials": 10}
    results = [Result(**counts, **one) for one in both(*rank1)]
    return Accuracy(target=target, precision=precision, results=results, cosines={}).model_dump()


def row(engine: str, milliseconds: float, precision: str = "int8") -> dict[str, Any]:
    times = dict.fromkeys(("p50_ms", "p90_ms", "p99_ms"), milliseconds)
    return {
        "engine": engine, "precision": precision, "modality": "visible", "batch": 1, **times, "images_per_second": 9,
        "file_bytes": 1_230_000, "load_seconds": 0.1, "cosine_mean": 0.99, "cosine_minimum": 0.97,
    }  # fmt: skip


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """What a demo leaves behind, with numbers that are easy to find again."""
    rates = {"fps": {"visible": 31.0, "thermal": 29.0}}
    layers = Layers(convolutions=75, rounded=66, given_back=["trunk.2.0.expand"], milliseconds=(1.0, 1.1))
    printed: dict[str, Any] = {
        "before": {"evaluations": both(0.111, 0.222), "baselines": {"raw pixels": both(0.013, 0.014)}},
        "after": {"evaluations": both(0.333, 0.444)},
        "export": {
            "accuracy": [accuracy(None, "fp32", (0.5, 0.6)), accuracy("x86-vnni", "int8", (0.493, 0.601))],
            "provenance": {"calibration": {"layers": {"x86-vnni": {"visible": layers.model_dump()}}}},
        },
        "benchmark": {
            "machine": {"cpu": "a <fast> one"},
            "rows": [{**row("onnxruntime", 1.25), "rank1": 0.123, "mean_ap": 0.45}],
            "verdict": "Use <this>.",
        },
        "full_benchmark": {
            "rows": [
                row("onnxruntime", 1.25),
                row("onnxruntime", 2.0, "fp32"),
                row("torch", 7.75, "fp32"),
                {**row("openvino", 1.0), "error": "is not installed"},
            ],
            "verdict": "Use that.",
        },
        "app": rates,
    }
    (tmp_path / "steps").mkdir()
    for step in steps(tmp_path):
        record = {"command": step.command, "seconds": 10.0, "peak_bytes": 2**30, "printed": None}
        (tmp_path / "steps" / f"{step.name}.json").write_text(json.dumps(record | {"printed": printed.get(step.name)}))
    for name in ("people", "train", "scene", "tracks", "tracks_appearance_only"):
        (tmp_path / name).mkdir()
    grey = np.full((48, 64, 3), 99, np.uint8)
    cv2.imwrite(str(tmp_path / "people" / "sheet.png"), grey)
    cv2.imwrite(str(tmp_path / "ranking.png"), grey)
    writer = cv2.VideoWriter(
        str(tmp_path / "annotated.avi"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 5, (64, 48)
    )
    writer.write(grey)
    writer.release()
    rows = dict.fromkeys(("identity", "distillation", "center", "accuracy"), 0.5)
    history = [{"epoch": epoch, "height": 64 * epoch, **rows} for epoch in (1, 2)]
    write_curve(tmp_path / "train" / "curve.svg", history)
    scene = {"fps": 1, "frames": 2, "size": [480, 640]}
    (tmp_path / "scene" / "scene.json").write_text(json.dumps(scene))
    seen = "".join(f"{frame},7,100,100,40,100,1,1,1\n{frame},8,300,100,40,100,1,1,1\n" for frame in (1, 2))
    for modality in ("visible", "thermal"):
        (tmp_path / "scene" / f"gt_{modality}.txt").write_text(seen)
        for folder in ("tracks", "tracks_appearance_only"):
            (tmp_path / folder / f"{modality}.txt").write_text(seen)
    (tmp_path / "tracks" / "links.txt").write_text("1,1,7,7,1,0.9\n2,2,7,7,1,0.9\n")
    (tmp_path / "tracks_appearance_only" / "links.txt").write_text("2,2,7,8,1,0.9\n2,2,8,8,1,0.9\n")
    return tmp_path


def test_the_report_says_what_the_records_say(finished: Path) -> None:
    report = write_report(finished, [(step.name, step.title) for step in steps(finished)])
    page = report.read_text()
    assert "11.1 % → 33.3 %" in page and "22.2 % → 44.4 %" in page
    heads = "<th>precision</th><th>FP32</th><th>fewer bits</th><th>points</th>"
    assert heads in page
    assert "<td>INT8 for x86-vnni</td><td>50.0 %</td><td>49.3 %</td><td>-0.70</td>" in page
    assert "<td>60.0 %</td><td>60.1 %</td><td>+0.10</td>" in page
    assert "66 of 75 convolutions in 8 bits; given back to floating point: trunk.2.0.expand" in page
    assert "29 fps" in page and "a &lt;fast&gt; one" in page
    assert "<td>7.75</td>" in page and "is not installed" in page and "<td>12.3 / 45.0</td>" in page
    assert "6.2 times (visible) as fast as eager PyTorch; 1.6 times (visible) as fast as ONNX Runtime FP32" in page
    assert "Use &lt;this&gt;." in page and "Use that." in page
    assert "100.0 % (1 of 1)" in page and "50.0 % (1 of 2 people)" in page, "by place and appearance"
    assert "50.0 % (1 of 2)</td>" in page, "by appearance alone"
    for step in steps(finished):
        assert step.title in page
    assert page.count("data:image/jpeg;base64,") == 3
    assert "http://www.w3.org" in page and "src='http" not in page, "nothing is fetched from anywhere"


def test_a_missing_record_is_named(finished: Path) -> None:
    (finished / "steps" / "export.json").unlink()
    with pytest.raises(UserError, match=r"export.json: no record of this step"):
        write_report(finished, [(step.name, step.title) for step in steps(finished)])
    assert not (finished / "report.html").exists()
