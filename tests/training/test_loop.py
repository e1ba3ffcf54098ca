"""The loop: it learns, it can be interrupted anywhere, and it never loses or repeats a step."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edge_reid import recipes
from edge_reid.data.folder import FolderDataset
from edge_reid.data.parts import PartLabels
from edge_reid.data.regdb import RegDb
from edge_reid.data.synthetic.dataset import Population, write_dataset
from edge_reid.errors import CheckFailed, UserError
from edge_reid.recipes.sdm_mgim import SdmMgim
from edge_reid.training.checkpoint import load_model, load_state
from edge_reid.training.evaluate import evaluate_checkpoint
from edge_reid.training.loop import train
from edge_reid.training.run import Plan, Start

RECIPE = SdmMgim(
    width=0.25, granularities=(2,), part_dim=16, size=(64, 32), identities=3, pictures=2, shares=(0.5, 0.5)
)
PLAN = Plan(epochs=4, steps_per_epoch=3)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("training") / "people"
    write_dataset(root, Population(identities=6, test_identities=3, pictures=3, size=(64, 32)))
    return root


@pytest.fixture(scope="module")
def finished(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    train(data=FolderDataset(people), out=out, recipe=RECIPE, plan=PLAN, device="cpu", workers=0)
    return out


def rows(out: Path) -> list[dict[str, str]]:
    """The log but for what depends on the clock."""
    with (out / "log.csv").open() as file:
        found = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in found]


def interrupt_after_first_epoch(out: Path) -> threading.Thread:
    """Ctrl-C as soon as the first epoch is written down, that is somewhere in the second."""

    def wait() -> None:
        while not (out / "log.csv").exists():
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


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


def test_a_folder_with_another_run_is_not_touched(people: Path, finished: Path) -> None:
    with pytest.raises(UserError, match=r"other numbers \(margin 0\.3 -> 0\.5\)"):
        train(data=FolderDataset(people), out=finished, recipe=replace(RECIPE, margin=0.5), plan=PLAN)
    with pytest.raises(UserError, match=r"begun from random weights, not from model.safetensors"):
        train(
            data=FolderDataset(people),
            out=finished,
            recipe=RECIPE,
            plan=PLAN,
            begin=Start(init=finished / "model.safetensors"),
        )
    with pytest.raises(UserError, match=r"other numbers \(epochs 4 -> 5\)"):
        train(data=FolderDataset(people), out=finished, recipe=RECIPE, plan=replace(PLAN, epochs=5))


def test_a_run_cannot_go_on_with_other_pictures(people: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    thread = interrupt_after_first_epoch(out)
    with pytest.raises(KeyboardInterrupt):
        train(data=FolderDataset(people), out=out, recipe=RECIPE, plan=PLAN, device="cpu", workers=0)
    thread.join()
    write_dataset(tmp_path / "others", Population(identities=5, test_identities=1, pictures=2, size=(64, 32)))
    with pytest.raises(
        UserError,
        match=r"begun with other training pictures \(36 of people \(synthetic\)\) than those of others .* \(20\)",
    ):
        train(data=FolderDataset(tmp_path / "others"), out=out, recipe=RECIPE, plan=PLAN, device="cpu", workers=0)


def test_a_run_cannot_go_on_from_another_model(people: Path, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    thread = interrupt_after_first_epoch(out)
    with pytest.raises(KeyboardInterrupt):
        train(data=FolderDataset(people), out=out, recipe=RECIPE, plan=PLAN, device="cpu", workers=0)
    thread.join()
    init = finished / "model.safetensors"
    with pytest.raises(UserError, match=r"begun from random weights, not from model.safetensors"):
        train(
            data=FolderDataset(people),
            out=out,
            recipe=RECIPE,
            plan=PLAN,
            begin=Start(init=init),
            device="cpu",
            workers=0,
        )


def test_a_corrupt_picture_stops_a_run_in_one_line_whoever_reads_it(people: Path, tmp_path: Path) -> None:
    root = tmp_path / "broken"
    shutil.copytree(people, root)
    for path in (root / "train" / "visible" / "00000").iterdir():
        path.write_bytes(b"no picture")
    plan = Plan(epochs=1, steps_per_epoch=4)
    for workers in (0, 1):
        with pytest.raises(UserError) as stopped:
            train(
                data=FolderDataset(root), out=tmp_path / "run", recipe=RECIPE, plan=plan, device="cpu", workers=workers
            )
        assert "00000/c" in str(stopped.value) and "Traceback" not in str(stopped.value)


def test_more_people_to_validate_on_than_there_are_is_refused(people: Path, tmp_path: Path) -> None:
    plan = Plan(epochs=1, validate_identities=6)
    with pytest.raises(UserError, match="--validate 6: only 6 people have pictures in both modalities"):
        train(data=FolderDataset(people), out=tmp_path, recipe=RECIPE, plan=plan, device="cpu", workers=0)


def test_a_device_that_is_not_there_is_refused(people: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"device gpu: this PyTorch .* cannot use it; choose cpu"):
        train(data=FolderDataset(people), out=tmp_path, recipe=RECIPE, plan=PLAN, device="gpu")


def test_further_training_starts_from_a_published_model(
    people: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = finished / "model.safetensors"
    train(
        data=FolderDataset(people),
        out=tmp_path,
        recipe=RECIPE,
        plan=Plan(epochs=0),
        begin=Start(init=published),
        device="cpu",
        workers=0,
    )
    assert "classifiers start anew" in capsys.readouterr().out
    before, after = (load_model(path).model.state_dict() for path in (published, tmp_path / "model.safetensors"))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_people_kept_for_validation_are_ranked_and_never_trained_on(people: Path, tmp_path: Path) -> None:
    plan = Plan(epochs=2, steps_per_epoch=1, validate_identities=3, validate_every=1)
    train(data=FolderDataset(people), out=tmp_path, recipe=RECIPE, plan=plan, device="cpu", workers=0)
    assert load_state(tmp_path / "last.pt").provenance["identities"] == 3
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


@pytest.mark.parametrize(
    "numbers",
    [{"epochs": -1}, {"epochs": 1, "steps_per_epoch": 0}, {"epochs": 1, "validate_every": 0}],
    ids=["epochs", "steps", "validation"],
)
def test_a_plan_that_is_no_run_is_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(UserError, match="at least"):
        Plan(**numbers)  # type: ignore[arg-type]


def test_a_checkpoint_is_ranked_in_both_directions_by_one_call(people: Path, finished: Path, tmp_path: Path) -> None:
    first, second = evaluate_checkpoint(
        finished / "model.safetensors", FolderDataset(people, trials=2), device="cpu", sheet=tmp_path / "sheet.png"
    )
    assert (first.direction, second.direction) == ("thermal -> visible", "visible -> thermal")
    assert first.identities == second.identities == 3
    assert first.queries == 9
    assert "people (synthetic), thermal -> visible, 9 queries" in first.protocol
    assert (tmp_path / "sheet.png").exists()


def test_a_model_of_one_split_of_regdb_is_not_measured_on_another(tmp_path: Path) -> None:
    root = tmp_path / "regdb"
    (root / "idx").mkdir(parents=True)
    for folder in ("Visible", "Thermal"):
        for split, part in ((1, "train"), (1, "test"), (2, "train"), (2, "test")):
            people = range(4) if (split == 1) == (part == "train") else range(4, 8)
            lines = []
            for person in people:
                for number in range(2):
                    path = root / folder / str(person) / f"{number}.bmp"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    cv2.imwrite(str(path), np.random.default_rng(person).integers(0, 255, (16, 8, 3), dtype=np.uint8))
                    lines.append(f"{folder}/{person}/{number}.bmp {person}")
            (root / "idx" / f"{part}_{folder.lower()}_{split}.txt").write_text("\n".join(lines))
    plan = Plan(epochs=1, steps_per_epoch=1)
    model = train(data=RegDb(root), out=tmp_path / "run", recipe=RECIPE, plan=plan, device="cpu", workers=0)
    forth, back = evaluate_checkpoint(model, RegDb(root), device="cpu")
    assert (forth.direction, back.direction) == ("visible -> thermal", "thermal -> visible")
    assert "RegDB, split 1 of 10" in forth.protocol
    with pytest.raises(UserError, match=r"was trained on RegDB split 1, .*choose --split 1 or train on this split"):
        evaluate_checkpoint(model, RegDb(root, split=2), device="cpu")
    further = train(
        data=RegDb(root, split=2),
        out=tmp_path / "more",
        recipe=RECIPE,
        plan=plan,
        begin=Start(init=model),
        device="cpu",
        workers=0,
    )
    with pytest.raises(UserError, match="was trained on RegDB split 1"):
        evaluate_checkpoint(further, RegDb(root, split=2), device="cpu")
    begin = Start(weights=model)
    trunk = train(data=RegDb(root, split=2), out=tmp_path / "trunk", recipe=RECIPE, plan=plan, begin=begin, workers=0)
    with pytest.raises(UserError, match="was trained on RegDB split 1"):
        evaluate_checkpoint(trunk, RegDb(root, split=2), device="cpu")


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
    monkeypatch.setattr("edge_reid.training.loop._validate", lambda run: {"val_map": next(scores)})
    plan = Plan(epochs=6, steps_per_epoch=1, validate_identities=2, validate_every=1, patience=2)
    published = train(data=FolderDataset(people), out=tmp_path, recipe=RECIPE, plan=plan, device="cpu", workers=0)
    assert [row["val_map"] for row in load_state(tmp_path / "last.pt").history] == [0.3, 0.5, 0.4, 0.5]
    assert load_model(published).epoch == 2, "the best one, and of equals the first"
    again = train(data=FolderDataset(people), out=tmp_path, recipe=RECIPE, plan=plan, device="cpu", workers=0)
    assert load_model(again).epoch == 2, "a spent run is finished"


def test_patience_needs_people_to_validate_on() -> None:
    with pytest.raises(UserError, match=r"--patience 2: needs 1 or more, and people to validate on"):
        Plan(epochs=1, patience=2)


def test_half_precision_takes_nearly_the_same_steps(people: Path, tmp_path: Path) -> None:
    plan, logs = Plan(epochs=1, steps_per_epoch=2), []
    for name, chosen in (("plain", plan), ("other", replace(plan, amp="bf16"))):
        train(data=FolderDataset(people), out=tmp_path / name, recipe=RECIPE, plan=chosen, device="cpu", workers=0)
        logs.append(float(rows(tmp_path / name)[0]["loss"]))
    assert logs[1] == pytest.approx(logs[0], rel=0.02)
    assert logs[1] != logs[0]


def test_label_maps_that_are_asked_for_and_not_there_are_told(people: Path, tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    begin = Start(labels=PartLabels(people, tmp_path / "maps"))
    with pytest.raises(UserError, match=r"maps: holds no map of the 36 training pictures"):
        train(data=FolderDataset(people), out=tmp_path / "run", recipe=RECIPE, plan=PLAN, begin=begin, workers=0)
    deaf = replace(RECIPE, parsing_weight=0.0)
    with pytest.raises(UserError, match="--parts: the recipe's numbers leave part labels out"):
        train(data=FolderDataset(people), out=tmp_path / "run", recipe=deaf, plan=PLAN, begin=begin, workers=0)


def test_pictures_of_a_table_may_lie_anywhere(people: Path, tmp_path: Path) -> None:
    samples = FolderDataset(people).train()
    lines = [f"{s.path.resolve()},{s.identity},{s.camera},{s.modality},train" for s in samples]
    table = tmp_path / "people.csv"
    table.write_text("\n".join(["path,identity,camera,modality,split", *lines]))
    plan = Plan(epochs=1, steps_per_epoch=1)
    train(data=FolderDataset(table), out=tmp_path / "run", recipe=RECIPE, plan=plan, device="cpu", workers=0)
    assert load_state(tmp_path / "run" / "last.pt").provenance["pictures"] == len(samples)
