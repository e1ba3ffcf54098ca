"""Checkpoints: read back bit for bit, or refused in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from edge_reid.errors import UserError
from edge_reid.models import build_training_network
from edge_reid.models.output import People
from edge_reid.recipes.sdm_mgim import SdmMgim
from edge_reid.training.checkpoint import (
    TrainingState,
    build_from_config,
    load_model,
    load_state,
    partial_load,
    publish,
    save_state,
)

RECIPE = SdmMgim(width=0.25, granularities=(2, 4), part_dim=16, size=(64, 32), share_mode="conv")


def written(folder: Path, recipe: SdmMgim = RECIPE, identities: int = 5) -> Path:
    torch.manual_seed(0)
    network = build_training_network(recipe, People(identities=identities, attribute_sizes=(2,), parsing=True))
    state = TrainingState(
        recipe="sdm-mgim",
        config=recipe.as_json(),
        plan={"epochs": 3},
        network=network.state_dict(),
        optimizer={"state": {}, "param_groups": [{"lr": 0.1}]},
        epoch=2,
        step=7,
        sums={"loss": 1.5},
        history=[{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}],
        provenance={"data": "people", "pictures": 40, "init": None},
    )
    save_state(state, folder / "last.pt")
    return folder / "last.pt"


def test_a_state_is_read_back_as_it_was(tmp_path: Path) -> None:
    state = load_state(written(tmp_path))
    assert (state.epoch, state.step, state.sums, state.plan) == (2, 7, {"loss": 1.5}, {"epochs": 3})
    assert state.provenance == {"data": "people", "pictures": 40, "init": None}
    torch.manual_seed(0)
    network = build_training_network(RECIPE, People(identities=5, attribute_sizes=(2,), parsing=True))
    assert all(torch.equal(state.network[name], tensor) for name, tensor in network.state_dict().items())
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("share_mode", ["stage", "conv"])
def test_the_published_model_embeds_as_the_checkpoint_does(tmp_path: Path, share_mode: str) -> None:
    last = written(tmp_path, replace(RECIPE, share_mode=share_mode))  # type: ignore[arg-type]
    loaded = [load_model(path) for path in (last, publish(last, tmp_path / "model.safetensors"))]
    crops = torch.randint(0, 256, (3, 64, 32), dtype=torch.uint8)
    with torch.inference_mode():
        embeddings = [model.model.branch("thermal")(crops) for model in loaded]
    assert torch.equal(*embeddings)
    for model in loaded:
        assert not model.model.training
        assert (model.recipe, model.size, model.embedding_dim, model.epoch) == ("sdm-mgim", (64, 32), 128 + 6 * 16, 2)
        assert model.provenance["data"] == "people"
        assert model.config == loaded[0].config


def test_a_published_model_is_without_the_classifiers_and_much_smaller(tmp_path: Path) -> None:
    last = written(tmp_path, identities=3000)
    published = publish(last, tmp_path / "model.safetensors")
    assert published.stat().st_size < last.stat().st_size / 5
    network = build_training_network(RECIPE, People(identities=3000, attribute_sizes=(2,), parsing=True))
    _, missing = partial_load(network, published)
    assert all("classifiers" in name.split(".") for name in missing)


def test_a_start_from_a_model_of_other_people_takes_all_but_the_classifiers(tmp_path: Path) -> None:
    last = written(tmp_path)
    network = build_training_network(RECIPE, People(identities=9, attribute_sizes=(2,), parsing=True))
    taken, missing = partial_load(network, last)
    assert taken + len(missing) == len(network.state_dict())
    assert missing == ["classifiers.whole.weight", "classifiers.parts.weight", "students.classifiers.weight"]
    stored = load_state(last).network
    assert torch.equal(network.state_dict()["network.head.whole_neck.weight"], stored["network.head.whole_neck.weight"])
    assert torch.equal(network.state_dict()["students.0.align.0.conv.weight"], stored["students.0.align.0.conv.weight"])


def test_a_start_from_another_architecture_is_refused_with_its_numbers(tmp_path: Path) -> None:
    network = build_training_network(replace(RECIPE, width=0.5), People(identities=5))
    with pytest.raises(UserError, match=r"another shape \(width 0\.25, share_from 2, share_mode conv"):
        partial_load(network, written(tmp_path))


def test_an_untrained_network_is_built_from_the_numbers_alone() -> None:
    assert build_from_config("sdm-mgim", RECIPE.as_json()).embedding_dim == 128 + 6 * 16


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def replace_by_text(path: Path) -> None:
    path.write_text("not a checkpoint")


def replace_by_weights(path: Path) -> None:
    weights = {"conv1.conv.weight": torch.zeros(3)}
    if path.suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("name", ["last.pt", "model.safetensors"])
@pytest.mark.parametrize("damage", [spoil, replace_by_text, replace_by_weights, remove], ids=lambda f: f.__name__)
def test_a_bad_checkpoint_is_named(tmp_path: Path, name: str, damage: object) -> None:
    publish(written(tmp_path), tmp_path / "model.safetensors")
    damage(tmp_path / name)  # type: ignore[operator]
    with pytest.raises(UserError, match=name):
        load_model(tmp_path / name)


def test_a_checkpoint_that_runs_code_when_read_is_refused(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"format": 1, "network": Payload()}, tmp_path / "last.pt")
    with pytest.raises(UserError, match=r"last\.pt"):
        load_model(tmp_path / "last.pt")
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_whose_weights_lack_a_tensor_is_refused(tmp_path: Path) -> None:
    state = load_state(written(tmp_path))
    del state.network["network.head.whole_neck.weight"]
    save_state(state, tmp_path / "last.pt")
    with pytest.raises(UserError, match="do not fit its own config"):
        load_model(tmp_path / "last.pt")


def test_classifiers_of_other_people_are_not_taken_even_if_they_are_as_many(tmp_path: Path) -> None:
    last = written(tmp_path)
    identities = load_state(last).network["classifiers.whole.weight"].shape[1]
    network = build_training_network(RECIPE, People(identities=identities, attribute_sizes=(2,), parsing=True))
    _, missing = partial_load(network, last)
    assert "classifiers.whole.weight" in missing
