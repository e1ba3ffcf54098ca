"""What a run may begin with, and what is refused before its first step."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edge_reid.commands.training import Train
from edge_reid.data.folder import FolderDataset
from edge_reid.data.parts import PartLabels
from edge_reid.data.regdb import RegDb
from edge_reid.data.synthetic.dataset import Population, write_dataset
from edge_reid.errors import UserError
from edge_reid.training.checkpoint import load_model, load_state
from edge_reid.training.evaluate import evaluate_checkpoint
from edge_reid.training.loop import train
from edge_reid.training.run import Plan, Start
from tests.data.trees import write_regdb
from tests.training.small import PLAN, RECIPE, interrupt_after_first_epoch


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


@pytest.mark.parametrize(
    "numbers",
    [{"epochs": -1}, {"epochs": 1, "steps_per_epoch": 0}, {"epochs": 1, "validate_every": 0}],
    ids=["epochs", "steps", "validation"],
)
def test_a_plan_that_is_no_run_is_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(UserError, match="at least"):
        Plan(**numbers)  # type: ignore[arg-type]


def test_a_model_of_one_split_of_regdb_is_not_measured_on_another(tmp_path: Path) -> None:
    root = write_regdb(tmp_path / "regdb")
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


def test_patience_needs_people_to_validate_on() -> None:
    with pytest.raises(UserError, match=r"--patience 2: needs 1 or more, and people to validate on"):
        Plan(epochs=1, patience=2)


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


def test_stripes_that_share_rows_are_told(people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for granularities in ((3, 2), (2, 4)):
        recipe = replace(RECIPE, granularities=granularities)
        train(data=FolderDataset(people), out=tmp_path / str(granularities), recipe=recipe, plan=Plan(epochs=0))
    assert capsys.readouterr().out.count("the last map's 4 rows do not divide evenly by 3; neighbours share rows") == 1


@pytest.mark.parametrize("numbers", [(), ("augment=synthetic",)], ids=["default", "chosen"])
def test_what_makes_up_for_drawn_people_is_not_done_to_real_ones(
    people: Path, tmp_path: Path, numbers: tuple[str, ...]
) -> None:
    real = tmp_path / "real"
    shutil.copytree(people, real)
    (real / "dataset.json").unlink()
    for data in (people, real):
        out = tmp_path / f"run-{data.name}"
        Train(data=data, out=out, width=0.25, size=(64, 32), identities=3, epochs=0, set=numbers).run()
        chosen = json.loads((out / "run.json").read_text())["config"]["augment"]
        assert chosen == ("erasing" if data is real and not numbers else "synthetic")


def test_a_listed_picture_that_is_not_there_is_named(tmp_path: Path) -> None:
    root = write_regdb(tmp_path / "regdb")
    (root / "Visible" / "2" / "male_front_v_2_1.bmp").unlink()
    with pytest.raises(UserError, match=r"v_2_1.bmp: the data set lists this picture, and it is not there; unpack"):
        train(data=RegDb(root), out=tmp_path / "run", recipe=RECIPE, plan=PLAN, device="cpu", workers=0)
    assert not (tmp_path / "run").exists()


def test_what_else_a_run_learns_is_told(people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = FolderDataset(people)
    (people / "parts" / data.train()[0].path.relative_to(people).with_suffix(".png")).rename(tmp_path / "away.png")
    try:
        train(data=data, out=tmp_path / "all", recipe=RECIPE, plan=Plan(epochs=0), device="cpu", workers=0)
    finally:
        (tmp_path / "away.png").rename(people / "parts" / data.train()[0].path.relative_to(people).with_suffix(".png"))
    known = data.attributes()
    assert known
    told = f"also learns: {len(known.sizes)} attributes, part labels of 35 of 36 pictures\n"
    assert told in capsys.readouterr().out
    alone = replace(RECIPE, attribute_weight=0.0, parsing_weight=0.0)
    train(data=data, out=tmp_path / "alone", recipe=alone, plan=Plan(epochs=0), device="cpu", workers=0)
    assert "also learns" not in capsys.readouterr().out
