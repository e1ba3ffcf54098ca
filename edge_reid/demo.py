"""The whole line in one command: each step is a command that a user could type, run in a process of its own.

A step is finished when `steps/NAME.json` exists; it holds the command, its duration, the peak memory and the JSON that
it printed. A second run starts at the first step that is not finished. The report is made from these files alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from edge_reid import reference
from edge_reid.errors import CheckFailed, UserError
from edge_reid.files import atomic_file, sha256
from edge_reid.report import write_report
from edge_reid.types import Json

SEED = 11
"""Of the demo's people: nobody of them, and none of their cameras, took part in the training of the reference model."""

APP = Path(__file__).parent.parent / "apps" / "dual_camera.py"


@dataclass(frozen=True)
class Step:
    """One command of the demo."""

    name: str
    title: str
    command: str
    """As a user types it in a shell."""
    makes: str | None = None
    """What it leaves in the demo's folder; removed before the step runs again."""
    goes_on: bool = False
    """The command itself goes on with what an interrupted run has left."""


def steps(out: Path) -> list[Step]:
    """The commands in order."""
    here = shlex.quote(str(out))
    people, model = f"{here}/people", f"{here}/train/model.safetensors"
    return [*_model_steps(here, people, model), *_speed_steps(here), *_camera_steps(here)]


def _model_steps(here: str, people: str, model: str) -> list[Step]:
    """From people to a measured bundle."""
    tune = "--init reference --epochs 4 --steps 40 --identities 16 --learning-rate 3e-4"
    return [
        Step(
            "people",
            "Draw people and cameras that the reference model has not met",
            f"edge-reid synth {people} --identities 300 --test-identities 100 --seed {SEED}",
            "people",
        ),
        Step(
            "before",
            "Measure the reference model on people it never saw",
            f"edge-reid evaluate reference {people} --baselines --json",
        ),
        Step(
            "train",
            "Train it further in front of the new cameras",
            f"edge-reid train {people} --out {here}/train {tune}",
            "train",
            goes_on=True,
        ),
        Step(
            "after",
            "Measure it again",
            f"edge-reid evaluate {model} {people} --sheet {here}/ranking.png --json",
        ),
        Step(
            "export",
            "Quantise to INT8 and export, with a gate on accuracy",
            f"edge-reid export {model} --int8 --calibration {people} --out {here}/bundle --json",
            "bundle",
        ),
        Step(
            "benchmark",
            "Benchmark the engines",
            f"edge-reid benchmark {here}/bundle --data {people} --batches 1 8 --out {here}/benchmark --json",
            "benchmark",
        ),
    ]


def _speed_steps(here: str) -> list[Step]:
    """The full width, for its speed only."""
    return [
        Step(
            "few",
            "Draw a few people to calibrate the full width with",
            f"edge-reid synth {here}/few --identities 12 --test-identities 4 --seed {SEED}",
            "few",
        ),
        Step(
            "full_size",
            "Make an untrained network of full width, for its speed only",
            f"edge-reid train {here}/few --out {here}/full_size --epochs 0 --width 1.0 --size 256 128",
            "full_size",
        ),
        Step(
            "full_export",
            "Export it, too; it knows nobody, so that the gate means nothing",
            f"edge-reid export {here}/full_size/model.safetensors --int8 --calibration {here}/few "
            f"--out {here}/full_bundle --force --json",
            "full_bundle",
        ),
        Step(
            "full_benchmark",
            "Benchmark the full width",
            f"edge-reid benchmark {here}/full_bundle --batches 1 --no-cold --rivals --json",
        ),
    ]


def _camera_steps(here: str) -> list[Step]:
    """A scene, and the app on it."""
    app, scene = shlex.quote(str(APP)), f"{here}/scene"
    follow = (
        f"python {app} --bundle {here}/bundle --visible {scene}/visible.avi --thermal {scene}/thermal.avi "
        "--offline --headless --json"
    )
    return [
        Step(
            "scene",
            "Film a scene with a visible and a thermal camera",
            f"edge-reid synth {scene} --scene --seed {SEED}",
            "scene",
        ),
        Step(
            "app",
            "Follow people through both views, who stand on one ground",
            f"{follow} --homography {scene}/homography.json --tracks {here}/tracks --events {here}/events.jsonl "
            f"--record {here}/annotated.avi",
        ),
        Step(
            "appearance_only",
            "Do it again by appearance alone",
            f"{follow} --tracks {here}/tracks_appearance_only",
        ),
    ]


def run_demo(out: Path) -> Path:
    """Run the steps that are left and write the report; return its path, `out`/report.html.

    Raises:
        UserError: the demo cannot run here.
        CheckFailed: a step failed.
    """
    if not APP.exists():
        raise UserError(f"{APP}: the demo runs from a checkout of the repository, where apps/ lies; clone it first")
    reference.checkpoint_path()
    todo = steps(out)
    run_steps(todo, out)
    report = write_report(out, [(step.name, step.title) for step in todo])
    print(f"{report}: open it in a browser")
    return report


def run_steps(todo: Sequence[Step], out: Path) -> None:
    """Run the steps that have no record in `out`/steps, in order, and write theirs.

    A record counts while the step's command and the carried model are what they were; what follows a step that was run
    again is run again, too.

    Raises:
        CheckFailed: a step failed; those before it keep their records.
    """
    (out / "steps").mkdir(parents=True, exist_ok=True)
    model = sha256(reference.checkpoint_path())
    records = {step.name: out / "steps" / f"{step.name}.json" for step in todo}
    for number, step in enumerate(todo, start=1):
        if records[step.name].exists() and _is_done(records[step.name], step, model):
            print(f"[{number}/{len(todo)}] {step.title}: done before", flush=True)
            continue
        print(f"[{number}/{len(todo)}] {step.title}\n      {step.command}", flush=True)
        later = todo[number - 1 :]
        if any(
            records[other.name].exists() for other in later
        ):  # all of it was made of something old: away with it now
            for other in later:
                records[other.name].unlink(missing_ok=True)
                _remove(out, other)
        elif not step.goes_on:
            _remove(out, step)
        facts = _run(step) | {"model": model}
        with atomic_file(records[step.name]) as temporary:
            temporary.write_text(json.dumps(facts, indent=1))
        print(f"      {facts['seconds']:.0f} s", flush=True)


def _is_done(record: Path, step: Step, model: str) -> bool:
    try:
        facts = json.loads(record.read_text())
    except ValueError:
        return False
    return bool(facts.get("command") == step.command and facts.get("model") == model)


def _run(step: Step) -> dict[str, Json]:
    python = {"edge-reid": [sys.executable, "-m", "edge_reid.cli"], "python": [sys.executable]}
    program, *options = shlex.split(step.command)
    command = [*python[program], *options]
    began = time.monotonic()
    # standard error stays on the terminal: progress bars live there
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    peak = _Peak(process.pid)
    try:
        printed, _ = process.communicate()
    except KeyboardInterrupt:
        process.wait()  # Ctrl-C reached it, too: it saves what it has and tidies up
        raise
    finally:
        peak.stop()
    seconds = time.monotonic() - began
    if process.returncode:
        sys.stdout.write(printed)
        raise CheckFailed(f"step {step.name} ended with exit code {process.returncode}; mend it and run the demo again")
    return {
        "command": step.command,
        "seconds": round(seconds, 2),
        "peak_bytes": peak.bytes,
        "printed": _last_json(printed),
    }


class _Peak:
    """The most memory that a process and its children hold together, looked at twice a second."""

    def __init__(self, number: int) -> None:
        self.bytes = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, args=(psutil.Process(number),), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self, process: psutil.Process) -> None:
        while True:
            with contextlib.suppress(psutil.Error):  # one of them ended meanwhile
                family = [process, *process.children(recursive=True)]
                self.bytes = max(self.bytes, sum(member.memory_info().rss for member in family))
            if self._ended.wait(0.5):
                return


def _last_json(text: str) -> Json:
    """The JSON document on the last line, by the commands' contract; None where a command prints none."""
    lines = text.strip().splitlines()
    if lines and lines[-1].startswith(("{", "[")):
        document: Json = json.loads(lines[-1])
        return document
    return None


def _remove(out: Path, step: Step) -> None:
    """What the step has made, if anything."""
    if step.makes is None:
        return
    path = out / step.makes
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
