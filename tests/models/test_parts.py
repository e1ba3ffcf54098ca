"""Trunks, stripes, semantic parts, attention and costs against the tables and against hand-worked cases."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edge_reid import recipes
from edge_reid.models import build_network
from edge_reid.models.attention import PartAttention
from edge_reid.models.cost import cost
from edge_reid.models.heads import (
    AttendingStripes,
    EmbeddingHead,
    PartRelations,
    PlainStripes,
    SemanticParts,
    cubed_rows,
)
from edge_reid.models.resnet import ResNet50
from edge_reid.recipes.controls import Baseline
from edge_reid.recipes.sdm_mgim import SdmMgim


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("arch", "millions"),
    [
        ("resnet50", (23.508, 23.518, 23.733, 24.953, 32.051, 47.016)),
        ("osnet", (1.906, 1.915, 2.150, 2.742, 3.548, 3.812)),
    ],
)
def test_streams_cost_what_the_table_says(arch: str, millions: tuple[float, ...]) -> None:
    for stage, expected in enumerate(millions):
        recipe = recipes.changed(Baseline(), {"arch": arch, "share_from": stage})
        necks = 2 * build_network(recipe).head.channels
        assert round((cost(recipe).stored - necks) / 1e6, 3) == expected


@pytest.mark.parametrize(
    ("name", "stored", "gmacs", "dim"),
    [
        ("sdm-mgim", 2.65, 1.24, 1920),
        ("psfl", 23.53, 9.12, 10240),
        ("cscl", 26.87, 5.14, 2048 + 1536),
        ("mmff-sd", 23.52, 5.13, 2048),
    ],
)
def test_recipes_cost_what_the_table_says(name: str, stored: float, gmacs: float, dim: int) -> None:
    found = cost(recipes.get(name))
    assert round(found.stored / 1e6, 2) == stored
    assert found.macs / 1e9 == pytest.approx(gmacs, abs=0.006)
    assert found.embedding_dim == dim


@pytest.mark.parametrize(
    ("arch", "size", "gmacs"),
    [
        ("resnet50", (256, 128), 4.053), ("resnet50", (288, 144), 5.130), ("resnet50", (384, 192), 9.120),
        ("osnet", (256, 128), 0.979), ("osnet", (288, 144), 1.239), ("osnet", (384, 144), 1.651),
    ],
)  # fmt: skip
def test_trunks_compute_what_the_table_says(arch: str, size: tuple[int, int], gmacs: float) -> None:
    assert cost(recipes.changed(Baseline(), {"arch": arch, "size": list(size)})).macs / 1e9 == pytest.approx(
        gmacs, abs=5e-4
    )


def test_the_sharing_mode_conv_doubles_batch_norms_only() -> None:
    network = build_network(recipes.changed(recipes.get("psfl"), {"share_from": 2}))
    shared = build_network(recipes.changed(recipes.get("psfl"), {"share_from": 0}))
    assert count(network) - count(shared) == 2944
    convolutions = [
        (a, b)
        for a, b in zip(network.visible.modules(), network.thermal.modules(), strict=True)
        if isinstance(a, nn.Conv2d) and isinstance(b, nn.Conv2d)
    ]
    assert convolutions
    assert all(a.weight is b.weight for a, b in convolutions)


def test_resnet_ends_at_a_sixteenth_and_has_torchvisions_names() -> None:
    from torchvision.models import resnet50

    network = ResNet50()
    with torch.device("meta"):
        published = resnet50().state_dict()
    assert set(published) - set(network.state_dict()) == {"fc.weight", "fc.bias"}
    assert set(network.state_dict()) <= set(published)
    assert network.eval()(torch.randn(1, 3, 64, 32)).shape == (1, 2048, 4, 2)


def test_resnet_at_stride_one_equals_torchvisions_with_the_strides_set() -> None:
    from torchvision.models import resnet50

    torch.manual_seed(0)
    own, other = ResNet50().eval(), resnet50().eval()
    other.load_state_dict(own.state_dict(), strict=False)
    other.layer4[0].conv2.stride = other.layer4[0].downsample[0].stride = (1, 1)
    images = torch.randn(2, 3, 64, 32)
    pooled = own(images).mean((2, 3))
    other.fc = nn.Identity()
    assert torch.allclose(pooled, other(images), atol=1e-5)


@pytest.mark.parametrize(
    ("granularities", "relation", "part_dim", "millions"),
    [
        ((2, 3), "one_vs_rest", 128, 0.330), ((2, 3), "none", 128, 0.133),
        ((2, 3, 6), "one_vs_rest", 128, 0.497), ((2, 3, 6), "none", 128, 0.200),
        ((2, 3, 6), "one_vs_rest", 256, 1.190), ((2, 3, 6), "none", 256, 0.400),
    ],
)  # fmt: skip
def test_blocks_of_stripes_cost_what_the_table_says(
    granularities: tuple[int, ...], relation: str, part_dim: int, millions: float
) -> None:
    numbers = {"granularities": list(granularities), "relation": relation, "part_dim": part_dim}
    head = build_network(recipes.changed(SdmMgim(), numbers)).head
    necks = 2 * sum(granularities) * part_dim
    assert round((count(head.granularities) + necks) / 1e6, 3) == millions
    assert head.embedding_dim == 512 + sum(granularities) * part_dim


def test_plain_stripes_are_the_means_of_their_rows() -> None:
    maps = torch.rand(2, 8, 6, 3)
    stripes = PlainStripes(8, 0, 3, own_layers=False)(cubed_rows(maps))
    for part in range(3):
        rows = maps[:, :, 2 * part : 2 * part + 2]
        assert torch.allclose(stripes[:, part], rows.pow(3).mean((2, 3)).pow(1 / 3), atol=1e-5)


def test_own_layers_are_one_per_stripe() -> None:
    assert count(PlainStripes(8, 4, 3, own_layers=True)) == 3 * count(PlainStripes(8, 4, 3, own_layers=False))


@pytest.mark.parametrize("kind", [PartRelations, AttendingStripes])
def test_related_stripes_hear_of_the_others_and_plain_ones_do_not(
    kind: type[PartRelations] | type[AttendingStripes],
) -> None:
    torch.manual_seed(0)
    maps, other = torch.rand(2, 8, 6, 3), torch.rand(2, 8, 6, 3)
    other[:, :, :2] = maps[:, :, :2]  # the first of three stripes stays
    related, plain = kind(8, 4, 3).eval(), PlainStripes(8, 4, 3, own_layers=False).eval()
    for block, same in ((plain, True), (related, False)):
        first, second = block(cubed_rows(maps)), block(cubed_rows(other))
        assert torch.allclose(first[:, 0], second[:, 0], atol=1e-6) is same
        assert first.shape == (2, 3, 4)


def test_part_attention_starts_as_the_identity_and_costs_what_was_counted() -> None:
    torch.manual_seed(0)
    attention, maps = PartAttention(512, 6), torch.randn(2, 512, 4, 2)
    assert torch.equal(attention(maps), maps)
    assert [round(count(PartAttention(channels, 6)) / 1e6, 3) for channels in (512, 1024)] == [0.038, 0.141]
    with torch.no_grad():
        attention.gamma.fill_(1)
    assert not torch.allclose(attention(maps), maps)


@torch.no_grad()
def test_masks_and_background_add_up_to_one_and_weigh_the_mean() -> None:
    torch.manual_seed(0)
    parts, maps = SemanticParts(8, 4, 3).eval(), torch.rand(2, 8, 6, 3)
    features, logits, seen = parts(maps)
    assert (features.shape, logits.shape, seen.shape) == ((2, 3, 4), (2, 4, 6, 3), (2, 3))
    masks = logits.softmax(1)
    assert masks.sum(1) == pytest.approx(torch.ones(2, 6, 3), abs=1e-6)
    for part in range(3):
        mask = masks[:, part + 1 : part + 2]
        mean = (maps * mask).sum((2, 3)) / mask.sum((2, 3))
        weights = parts.reduce.weight[4 * part : 4 * part + 4, :, 0]
        assert torch.allclose(features[:, part], (mean @ weights.T / (1 + 1e-5) ** 0.5).relu(), atol=1e-5)


def test_a_part_is_seen_where_its_mask_passes_a_half() -> None:
    parts = SemanticParts(2, 4, 1)
    head = EmbeddingHead(2, [], semantic=parts)
    nn.init.zeros_(parts.parser[1].weight)
    parts.parser[1].bias.data = torch.tensor([0.0, 1.0])
    head.eval()
    assert head(torch.rand(1, 2, 2, 2)).seen.tolist() == [[1]]
    parts.parser[1].bias.data = torch.tensor([1.0, 0.0])
    output = head(torch.rand(1, 2, 2, 2))
    assert output.seen.tolist() == [[0]]
    assert head.embedding(output)[0, 2:].tolist() == [0, 0, 0, 0]


def test_semantic_parts_cost_what_was_counted() -> None:
    assert round(count(SemanticParts(2048, 256, 6)) / 1e6, 2) == 3.17


@pytest.mark.parametrize("balanced", [True, False])
@torch.no_grad()
def test_halves_of_the_embedding_weigh_the_same_when_balanced(balanced: bool) -> None:
    torch.manual_seed(0)
    head = EmbeddingHead(8, [PlainStripes(8, 0, 4, own_layers=False)], balanced=balanced).eval()
    output = head(torch.rand(3, 8, 8, 4))
    embedding = head.embedding(output)
    assert embedding.norm(dim=1) == pytest.approx(torch.ones(3), abs=1e-6)
    whole, parts = embedding[:, :8].norm(dim=1), embedding[:, 8:].norm(dim=1)
    assert (whole == pytest.approx(parts, abs=1e-6)) is balanced


def test_a_head_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="global feature or parts"):
        EmbeddingHead(8, [], whole=False)
