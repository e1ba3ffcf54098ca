"""Two streams: what is shared, what is not, and that nothing of training reaches the embedding."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import nn

from edge_reid import recipes
from edge_reid.models import TwoStream, build_network, normalize
from edge_reid.recipes.sdm_mgim import SdmMgim
from tests.steps import step


def network(share_from: int = 2, share_mode: Literal["stage", "conv"] = "stage", width: float = 0.25) -> TwoStream:
    torch.manual_seed(0)
    return build_network(
        SdmMgim(width=width, share_from=share_from, share_mode=share_mode, granularities=(2, 3), part_dim=16)
    )


@pytest.mark.parametrize(
    ("share_from", "millions"), [(0, 1.906), (1, 1.915), (2, 2.150), (3, 2.742), (4, 3.548), (5, 3.812)]
)
def test_the_trunk_stores_what_the_reference_table_says(share_from: int, millions: float) -> None:
    model = network(share_from, width=1.0)
    head = sum(p.numel() for p in model.head.parameters())
    assert (sum(p.numel() for p in model.parameters()) - head) / 1e6 == pytest.approx(millions, abs=0.0006)


@pytest.mark.parametrize("mode", ["stage", "conv"])
def test_both_streams_answer_alike_before_any_training(mode: Literal["stage", "conv"]) -> None:
    model = network(3, mode).eval()
    images = torch.randn(2, 3, 64, 32)
    assert torch.equal(model.embed(images, "visible"), model.embed(images, "thermal"))


def test_a_visible_loss_does_not_touch_the_thermal_stages() -> None:
    model = network(2)
    model.embed(torch.randn(4, 3, 64, 32), "visible").sum().backward()
    assert all(p.grad is None for p in model.thermal.parameters())
    assert any(p.grad is not None for p in model.visible.parameters())
    assert any(p.grad is not None for p in model.shared.parameters())


def test_conv_mode_shares_convolutions_and_keeps_two_sets_of_statistics() -> None:
    model = network(2, "conv").train()
    pairs = list(zip(model.visible.modules(), model.thermal.modules(), strict=True))
    assert all(a.weight is b.weight for a, b in pairs if isinstance(a, nn.Conv2d) and isinstance(b, nn.Conv2d))
    model.joint_maps(torch.randn(4, 3, 64, 32), torch.randn(4, 3, 64, 32) * 3 + 1)
    norms = [(a, b) for a, b in pairs if isinstance(a, nn.BatchNorm2d) and isinstance(b, nn.BatchNorm2d)]
    assert norms
    assert all(not torch.equal(a.running_mean, b.running_mean) for a, b in norms if a.running_mean is not None)


def test_the_branch_embeds_raw_crops_as_the_network_embeds_normalised_ones() -> None:
    model = network().eval()
    visible = torch.randint(0, 256, (3, 64, 32, 3), dtype=torch.uint8)
    thermal = torch.randint(0, 256, (3, 64, 32), dtype=torch.uint8)
    assert torch.equal(model.branch("visible")(visible), model.embed(normalize(visible), "visible"))
    assert torch.equal(model.branch("thermal")(thermal), model.embed(normalize(thermal), "thermal"))


def test_embeddings_have_unit_norm_and_the_documented_size() -> None:
    model = network()
    embedding = model.eval().embed(torch.randn(2, 3, 64, 32), "thermal")
    assert embedding.shape == (2, 128 + (2 + 3) * 16)
    assert torch.allclose(embedding.norm(dim=1), torch.ones(2), atol=1e-6)


@pytest.mark.parametrize("name", recipes.names())
def test_the_embedding_is_bit_identical_without_the_train_only_parts(name: str) -> None:
    recipe = recipes.changed(recipes.get(name), {"arch": "osnet", "width": 0.25, "part_dim": 16, "size": [64, 32]})
    training, _ = step(recipe)  # which gave its BatchNorms statistics of their own
    bare = build_network(recipe)
    prefix = "network."
    bare.load_state_dict(
        {k.removeprefix(prefix): v for k, v in training.state_dict().items() if k.startswith(prefix)}, strict=True
    )
    images = torch.randn(3, 3, 64, 32)
    for modality in ("visible", "thermal"):
        assert torch.equal(training.eval().network.embed(images, modality), bare.eval().embed(images, modality))


def test_normalisation_swaps_bgr_and_takes_imagenets_statistics() -> None:
    crop = torch.zeros(1, 1, 1, 3, dtype=torch.uint8)
    crop[..., 0], crop[..., 2] = 255, 51  # blue 1.0, green 0, red 0.2
    expected = torch.tensor([(0.2 - 0.485) / 0.229, (0 - 0.456) / 0.224, (1.0 - 0.406) / 0.225])
    assert torch.allclose(normalize(crop).flatten(), expected, atol=1e-6)
    grey = normalize(torch.full((1, 1, 1), 51, dtype=torch.uint8)).flatten()
    assert torch.allclose(
        grey, torch.tensor([(0.2 - m) / s for m, s in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))])
    )


def test_a_stage_that_does_not_exist_cannot_be_shared_from() -> None:
    with pytest.raises(ValueError, match="6"):
        network(6)
