"""The loop: it learns, it can be interrupted anywhere, and it never loses or repeats a step."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from edge_reid import recipes
from edge_reid.data.folder import FolderDataset
from edge_reid.errors import CheckFailed
from edge_reid.training.checkpoint import load_model, load_state
from edge_reid.training.evaluate import evaluate_checkpoint
from edge_reid.training.loop import train
from edge_reid.training.run import Plan
from tests.training.small import PLAN, RECIPE, interrupt_after_first_epoch, rows


def test_a_run_leaves_its_model_its_log_and_its_curves(finished: Path) -> None:
    log = rows(finished)
    assert [row["epoch"] for row in log] == ["1", "2", "3", "4"]
    assert [row["height"] for row in log] == ["32", "32", "64", "64"]
    assert {"loss", "identity", "center", "distillation", "attributes", "parsing", "accuracy"} <= set(log[0])
    assert load_model(finished / "model.safetensors").epoch == 4
    assert any((finished / "tensorboard").iterdir())


def test_an_interrupted_run_goes_on_bit_for_bit(
    people: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    thread = interrupt_after_first_epoch(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(data=FolderDataset(people), out=tmp_path, recipe=RECIPE, plan=PLAN, device="cpu", workers=0)
    thread.join()
    assert "interrupted in epoch" in capsys.readouterr().out
    assert not (tmp_path / "model.safetensors").exists()
    stopped = load_state(tmp_path / "last.pt")
    assert 0 < stopped.epoch < PLAN.epochs

    train(data=FolderDataset(people), out=tmp_path, recipe=RECIPE, plan=PLAN, device="cpu", workers=0)
    assert "going on at epoch" in capsys.readouterr().out
    first, second = (load_state(out / "last.pt") for out in (finished, tmp_path))
    assert all(torch.equal(first.network[name], second.network[name]) for name in first.network)
    assert rows(tmp_path) == rows(finished)


def test_worker_processes_do_not_change_the_run(people: Path, finished: Path, tmp_path: Path) -> None:
    train(data=FolderDataset(people), out=tmp_path, recipe=RECIPE, plan=PLAN, device="cpu", workers=1)
    assert rows(tmp_path) == rows(finished)


def test_a_finished_run_says_so_and_does_nothing(
    people: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in finished.iterdir()}
    assert train(data=FolderDataset(people), out=finished, recipe=RECIPE, plan=PLAN) == finished / "model.safetensors"
    assert "finished (4 epochs)" in capsys.readouterr().out
    assert before == {path.name: path.stat().st_mtime_ns for path in finished.iterdir()}


def test_people_kept_for_validation_are_ranked_and_never_trained_on(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Plan(epochs=2, steps_per_epoch=1, validate_identities=3, validate_every=1)
    train(data=FolderDataset(people), out=tmp_path, recipe=RECIPE, plan=plan, device="cpu", workers=0)
    assert load_state(tmp_path / "last.pt").provenance["identities"] == 3
    printed = capsys.readouterr().out
    assert printed.count("people kept out of training of people (synthetic), thermal -> visible, 9 queries") == 2
    for row in rows(tmp_path):
        for direction in ("thermal_to_visible", "visible_to_thermal"):
            assert 0 <= float(row[f"val_rank1_{direction}"]) <= float(row[f"val_map_{direction}"]) <= 1


def test_training_teaches_something(people: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, shares=(1.0,), learning_rate=3e-3)
    train(
        data=FolderDataset(people),
        out=tmp_path,
        recipe=recipe,
        plan=Plan(epochs=2, steps_per_epoch=20),
        device="cpu",
        workers=0,
    )
    first, last = rows(tmp_path)
    for term in ("loss", "parsing"):
        assert float(last[term]) < float(first[term])


def test_a_loss_that_is_no_number_stops_the_run(people: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="lower learning rate"):
        train(
            data=FolderDataset(people),
            out=tmp_path,
            recipe=replace(RECIPE, learning_rate=1e30),
            plan=PLAN,
            device="cpu",
            workers=0,
        )


def test_a_checkpoint_is_ranked_in_both_directions_by_one_call(people: Path, finished: Path, tmp_path: Path) -> None:
    first, second = evaluate_checkpoint(
        finished / "model.safetensors", FolderDataset(people, trials=2), device="cpu", sheet=tmp_path / "sheet.png"
    )
    assert (first.direction, second.direction) == ("thermal -> visible", "visible -> thermal")
    assert first.identities == second.identities == 3
    assert first.queries == 9
    assert "people (synthetic), thermal -> visible, 9 queries" in first.protocol
    assert (tmp_path / "sheet.png").exists()


def test_a_run_writes_down_what_it_takes_to_repeat_it(finished: Path) -> None:
    about = json.loads((finished / "run.json").read_text())
    assert recipes.from_json(about["recipe"], about["config"]) == RECIPE
    assert Plan(**about["plan"]) == PLAN
    provenance = about["provenance"]
    assert provenance["torch"] == str(torch.__version__)
    assert {"edge_reid", "git", "pictures_sha256", "device"} <= set(provenance)


def test_a_run_without_progress_ends_early_with_its_best_weights(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.3, 0.5, 0.4, 0.5, 0.6])
    monkeypatch.setattr("edge_reid.training.loop._validate", lambda run: ({"val_map": next(scores)}, ["ten people"]))
    plan = Plan(epochs=6, steps_per_epoch=1, validate_identities=2, validate_every=1, patience=2)
    published = train(data=FolderDataset(people), out=tmp_path, recipe=RECIPE, plan=plan, device="cpu", workers=0)
    assert [row["val_map"] for row in load_state(tmp_path / "last.pt").history] == [0.3, 0.5, 0.4, 0.5]
    assert load_model(published).epoch == 2, "the best one, and of equals the first"
    again = train(data=FolderDataset(people), out=tmp_path, recipe=RECIPE, plan=plan, device="cpu", workers=0)
    assert load_model(again).epoch == 2, "a spent run is finished"


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_half_precision_takes_nearly_the_same_steps(amp: Literal["bf16", "fp16"], people: Path, tmp_path: Path) -> None:
    plan, logs = Plan(epochs=1, steps_per_epoch=2), []
    for name, chosen in (("plain", plan), ("other", replace(plan, amp=amp))):
        train(data=FolderDataset(people), out=tmp_path / name, recipe=RECIPE, plan=chosen, device="cpu", workers=0)
        logs.append(float(rows(tmp_path / name)[0]["loss"]))
    assert logs[1] == pytest.approx(logs[0], rel=0.02)
    assert logs[1] != logs[0]
