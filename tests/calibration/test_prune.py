"""Pruned networks of every system are whole: they rebuild, load, embed and fold like any other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from edge_reid_calibration.cut import cut, picture_macs
from edge_reid_calibration.prune import Aim, prune
from edge_reid_export.fold import FoldedBranch
from edge_reid_export.fold_block import Streams
from torch import nn

from edge_reid import recipes
from edge_reid.data.folder import FolderDataset
from edge_reid.errors import CheckFailed, UserError
from edge_reid.models import build_network
from edge_reid.models.narrow import narrowed_layers
from edge_reid.models.osnet import ChannelGate
from edge_reid.models.two_stream import TwoStream
from edge_reid.recipes.base import Recipe
from edge_reid.training.checkpoint import load_model
from edge_reid.types import MODALITIES, Json

SIZE = (64, 32)


def small(name: str, **numbers: Json) -> Recipe:
    given: dict[str, Json] = {"arch": "osnet", "width": 0.5, "size": [*SIZE], "part_dim": 16}
    return recipes.changed(recipes.get(name), given | numbers)


def lively(recipe: Recipe) -> TwoStream:
    """An untrained network whose BatchNorms hold statistics."""
    torch.manual_seed(0)
    network = build_network(recipe).eval()
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.weight.data.uniform_(0.5, 1.5)
            norm.bias.data.uniform_(-0.2, 1)
            norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return network


@pytest.mark.parametrize("name", recipes.names())
def test_a_system_is_cut_to_half_and_is_whole(name: str) -> None:
    recipe = small(name)
    network = lively(recipe)
    images = torch.randn(2, 3, *SIZE)
    with torch.no_grad():
        before = network.embed(images, "thermal")
    goal = picture_macs(network, SIZE) / 2
    pruned = cut(network, SIZE, lambda each: picture_macs(each, SIZE) <= goal)
    assert 0.5 * goal < picture_macs(pruned, SIZE) <= goal
    assert picture_macs(network, SIZE) == 2 * goal, "the network that was given is as it was"
    layers = narrowed_layers(build_network(recipe), pruned)
    rebuilt = build_network(replace(recipe, layers=layers)).eval()
    rebuilt.load_state_dict(pruned.state_dict())
    assert rebuilt.channels == tuple(each.shape[1] for each in pruned.maps(images, "visible"))
    with torch.no_grad():
        torch.testing.assert_close(network.embed(images, "thermal"), before, rtol=0, atol=0)
        for modality in MODALITIES:
            embedding = pruned.embed(images, modality)
            assert embedding.shape == (2, network.embedding_dim)
            torch.testing.assert_close(rebuilt.embed(images, modality), embedding, rtol=0, atol=0)
    if recipe.share_mode == "conv":
        convolutions = [
            [m for m in half.modules() if isinstance(m, nn.Conv2d)] for half in (rebuilt.visible, rebuilt.thermal)
        ]
        assert all(a.weight is b.weight for a, b in zip(*convolutions, strict=True)), "common weights stay common"


@pytest.mark.parametrize("multiple", [8, 16])
def test_cut_layers_come_in_multiples_and_gates_and_last_maps_stay(multiple: int) -> None:
    network = lively(small("baseline"))
    goal = picture_macs(network, SIZE) / 2
    pruned = cut(network, SIZE, lambda each: picture_macs(each, SIZE) <= goal, multiple)
    kept = dict(network.named_modules())
    for name, module in pruned.named_modules():
        before = kept[name]
        if (
            isinstance(module, nn.Conv2d)
            and isinstance(before, nn.Conv2d)
            and module.out_channels != before.out_channels
        ):
            assert module.out_channels % multiple == 0
        if isinstance(module, ChannelGate) and isinstance(before, ChannelGate):
            assert module.fc1.out_channels == before.fc1.out_channels
    assert pruned.channels[4] == network.channels[4] == pruned.maps(torch.zeros(1, 3, *SIZE), "visible")[4].shape[1]


def test_a_network_with_uneven_streams_folds_in_every_arrangement() -> None:
    network = lively(small("sdm-mgim", granularities=[2]))
    goal = picture_macs(network, SIZE) * 0.4
    branch = cut(network, SIZE, lambda each: picture_macs(each, SIZE) <= goal).branch("thermal").eval()
    widths = {module.out_channels for module in branch.trunk[2].modules() if isinstance(module, nn.Conv2d)}
    assert len(widths) > 3
    crops = torch.randint(0, 256, (2, *SIZE), dtype=torch.uint8)
    with torch.no_grad():
        expected = branch(crops)
        for streams in get_args(Streams):
            folded = FoldedBranch(branch, "thermal", SIZE, streams)
            torch.testing.assert_close(folded(crops), expected, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_cut_is_said() -> None:
    with pytest.raises(CheckFailed, match="nothing more can be cut"):
        cut(lively(small("baseline", width=0.25)), SIZE, lambda network: False)


def test_pruning_to_a_latency_goes_on_from_the_same_cuts_though_the_clock_says_something_else(
    tiny_checkpoint: Path, tiny_data: Path, tmp_path: Path
) -> None:
    aim = Aim(macs=None, milliseconds=0.8, steps=2, epochs=1, steps_per_epoch=1, identities=2)
    first = load_model(tiny_checkpoint)
    macs = picture_macs(first.model, SIZE)

    def once(pace: float) -> list[int]:
        def latency(network: TwoStream, size: tuple[int, int]) -> tuple[float, float]:
            milliseconds = pace * picture_macs(network, size) / macs
            return milliseconds, milliseconds

        stages = prune(
            checkpoint=tiny_checkpoint, data=FolderDataset(tiny_data), out=tmp_path / "pruned", aim=aim,
            latency=latency, device="cpu", workers=0,
        )  # fmt: skip
        return [stage.macs for stage in stages]

    assert once(1.0) == once(1.3), "cuts that were made stay"


def test_pruning_goes_on_where_it_stopped_and_its_model_is_like_any_other(
    tiny_checkpoint: Path, tiny_data: Path, tmp_path: Path
) -> None:
    aim = Aim(macs=0.8, steps=2, epochs=1, steps_per_epoch=2, identities=2)
    told: list[str] = []

    def once(out: Path, aim: Aim = aim) -> list[str]:
        prune(
            checkpoint=tiny_checkpoint, data=FolderDataset(tiny_data), out=out, aim=aim,
            latency=lambda network, size: (1.0, 2.0), device="cpu", workers=0, tell=told.append,
        )  # fmt: skip
        return told

    once(tmp_path / "pruned")
    stages = json.loads((tmp_path / "pruned" / "pruning.json").read_text())
    assert [stage["step"] for stage in stages] == [0, 1, 2]
    assert stages[1]["macs"] <= stages[0]["macs"] * 0.8**0.5
    assert stages[2]["macs"] <= stages[0]["macs"] * 0.8 < stages[1]["macs"]
    model = load_model(tmp_path / "pruned" / "model.safetensors")
    assert picture_macs(model.model, SIZE) == stages[2]["macs"]
    assert model.provenance["teacher"] == "teacher.safetensors"
    log = (tmp_path / "pruned" / "step2" / "log.csv").read_text()
    assert "teacher_ranking" in log.splitlines()[0]
    assert "| 2 |" in (tmp_path / "pruned" / "pruning.md").read_text()

    (tmp_path / "pruned" / "model.safetensors").unlink()
    once(tmp_path / "pruned")
    again = load_model(tmp_path / "pruned" / "model.safetensors")
    state = model.model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in again.model.state_dict().items())
    with pytest.raises(UserError, match="another macs"):
        once(tmp_path / "pruned", replace(aim, macs=0.5))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(UserError, match="other things"):
        once(tmp_path / "other")


@pytest.mark.parametrize(
    ("numbers", "said"),
    [({"macs": 1.5}, "--target-macs 1.5"), ({"milliseconds": 3.0}, "give one"), ({"steps": 0}, "--steps")],
)
def test_an_aim_that_is_none_is_refused(numbers: dict[str, float], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Aim(**numbers)  # type: ignore[arg-type]
