from __future__ import annotations

from typing import get_args

import pytest
import torch
from edge_reid_export.fold import FoldedBranch
from edge_reid_export.fold_block import FoldedBlock, Streams, mean_convolution
from torch import nn

from edge_reid import recipes
from edge_reid.models import build_network
from edge_reid.models.attention import PartAttention
from edge_reid.models.osnet import OSBlock
from edge_reid.training.checkpoint import load_model
from edge_reid.types import MODALITIES, Json, Modality


def trained_looking(module: nn.Module) -> nn.Module:
    """BatchNorms with statistics and weights that a fold cannot ignore, in eval mode."""
    torch.manual_seed(0)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.weight.data.uniform_(0.5, 1.5)
            norm.bias.data.normal_()
            norm.running_mean.normal_()  # type: ignore[union-attr]
            norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return module.eval()


@pytest.mark.parametrize("streams", get_args(Streams))
@pytest.mark.parametrize(("inputs", "outputs"), [(16, 64), (64, 64), (48, 192)], ids=["narrow", "no skip conv", "wide"])
def test_a_folded_block_computes_the_same(inputs: int, outputs: int, streams: Streams) -> None:
    block = trained_looking(OSBlock(inputs, outputs))
    maps = torch.randn(2, inputs, 9, 5)
    with torch.no_grad():
        torch.testing.assert_close(FoldedBlock(block, streams)(maps), block(maps), rtol=1e-4, atol=1e-4)


def convolutions(block: OSBlock, streams: Streams) -> int:
    return sum(isinstance(module, nn.Conv2d) for module in FoldedBlock(block.eval(), streams).modules())


def test_narrow_streams_need_few_convolutions_in_8_bits_and_dense_ones_half() -> None:
    narrow, wide = OSBlock(64, 64), OSBlock(256, 256)
    # Ten light convolutions of two layers each; dense: one for the four that read the same map, and six more.
    assert [convolutions(narrow, streams) for streams in ("apart", "merged", "dense")] == [22, 10, 9]
    assert [convolutions(wide, streams) for streams in ("apart", "merged", "dense")] == [22, 16, 9]


def test_mean_pooling_as_a_convolution_is_exact() -> None:
    maps = torch.randn(1, 3, 6, 4)
    torch.testing.assert_close(mean_convolution(3)(maps), nn.AvgPool2d(2, stride=2)(maps))


@pytest.mark.parametrize("streams", get_args(Streams))
@pytest.mark.parametrize("modality", MODALITIES)
def test_a_folded_branch_embeds_the_same_and_leaves_the_network_alone(
    tiny_checkpoint: object, modality: Modality, streams: Streams
) -> None:
    network = load_model(tiny_checkpoint).model  # type: ignore[arg-type]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    shape = (3, 64, 32, 3) if modality == "visible" else (3, 64, 32)
    crops = torch.randint(0, 256, shape, dtype=torch.uint8)
    with torch.no_grad():
        folded = FoldedBranch(network.branch(modality), modality, (64, 32), streams)
        torch.testing.assert_close(folded(crops), network.branch(modality)(crops), rtol=0, atol=1e-5)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert not any(isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d) for module in folded.modules())


@pytest.mark.parametrize("streams", get_args(Streams))
@pytest.mark.parametrize("arch", ["osnet", "resnet50"])
@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_folds_to_the_same_embedding(name: str, arch: str, streams: Streams) -> None:
    numbers: dict[str, Json] = {
        "arch": arch,
        "width": 0.25 if arch == "osnet" else 1.0,
        "size": [64, 32],
        "part_dim": 16,
        "semantic_parts": 5,
    }
    torch.manual_seed(0)
    network = build_network(recipes.changed(recipes.get(name), numbers))
    for module in network.modules():
        if isinstance(module, PartAttention):
            nn.init.constant_(module.gamma, 0.5)
    for images in torch.randn(2, 8, 3, 64, 32):
        network.embed(images, "visible")  # statistics of their own
    network.eval()
    crops = torch.randint(0, 256, (3, 64, 32, 3), dtype=torch.uint8)
    with torch.no_grad():
        expected = network.branch("visible")(crops)
        folded = FoldedBranch(network.branch("visible"), "visible", (64, 32), streams)(crops)
    torch.testing.assert_close(folded, expected, rtol=0, atol=1e-4)
    assert len({tuple(row) for row in expected.tolist()}) == 3, "different pictures, or the comparison says little"
