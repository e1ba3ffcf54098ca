"""OSNet: torchreid's names and sizes."""

from __future__ import annotations

import pytest
import torch

from edge_reid.models.osnet import build_osnet


@pytest.mark.parametrize(
    ("width", "parameters"), [(1.0, 2_169_508), (0.75, 1_285_754), (0.5, 630_034), (0.25, 201_864)]
)
def test_the_parameters_of_each_width_are_the_published_ones(width: float, parameters: int) -> None:
    assert sum(p.numel() for p in build_osnet(width).parameters()) == parameters


def test_the_state_dict_has_torchreids_names_without_the_classifier() -> None:
    state = build_osnet(1.0).state_dict()
    assert len(state) == 567 - 2
    shapes = {
        "conv1.conv.weight": (64, 3, 7, 7),
        "conv2.0.conv2a.conv2.weight": (64, 1, 3, 3),
        "conv2.0.conv2b.0.conv1.weight": (64, 64, 1, 1),
        "conv2.0.conv2d.3.bn.running_mean": (64,),
        "conv2.0.gate.fc1.bias": (4,),
        "conv2.0.downsample.conv.weight": (256, 64, 1, 1),
        "conv2.2.0.conv.weight": (256, 256, 1, 1),
        "conv4.1.conv3.bn.weight": (512,),
        "conv5.bn.running_var": (512,),
        "fc.0.weight": (512, 512),
        "fc.1.bias": (512,),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes
    assert "conv2.1.downsample.conv.weight" not in state


def test_stages_halve_the_picture_as_published() -> None:
    maps = torch.randn(1, 3, 288, 144)
    sizes = []
    for stage in build_osnet(0.25).eval().stages():
        maps = stage(maps)
        sizes.append(tuple(maps.shape[1:]))
    assert sizes == [(16, 72, 36), (64, 36, 18), (96, 18, 9), (128, 18, 9), (128, 18, 9)]


def test_the_feature_has_512_values_at_every_width_and_none_below_zero() -> None:
    feature = build_osnet(0.25).eval()(torch.randn(2, 3, 64, 32))
    assert feature.shape == (2, 512)
    assert float(feature.detach().min()) >= 0


def test_a_width_that_was_never_published_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.3"):
        build_osnet(0.3)
