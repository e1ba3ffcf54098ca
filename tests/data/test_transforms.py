"""Random changes move picture and label map together."""

from __future__ import annotations

import pytest
import torch

from edge_reid.data.transforms import augment
from edge_reid.losses.parsing import IGNORE
from edge_reid.types import MODALITIES, Modality

SIZE = (48, 24)


def crop_of(modality: Modality) -> torch.Tensor:
    shape = (*SIZE, 3) if modality == "visible" else SIZE
    return torch.randint(60, 200, shape, dtype=torch.uint8)


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_changed_crop_keeps_its_shape_and_type(modality: Modality) -> None:
    for seed in range(10):
        torch.manual_seed(seed)
        crop, labels = augment(crop_of(modality), torch.zeros(SIZE, dtype=torch.uint8), modality)
        assert crop.dtype == labels.dtype == torch.uint8
        assert crop.shape == crop_of(modality).shape
        assert labels.shape == SIZE


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_global_generator_decides(modality: Modality) -> None:
    crop, labels = crop_of(modality), torch.randint(0, 6, SIZE, dtype=torch.uint8)
    changed = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        changed.append(augment(crop, labels, modality))
    assert torch.equal(changed[0][0], changed[1][0])
    assert torch.equal(changed[0][1], changed[1][1])
    assert not torch.equal(changed[0][0], changed[2][0])


def test_labels_go_where_their_pixels_go() -> None:
    labels = torch.randint(0, 6, SIZE, dtype=torch.uint8)
    for seed in range(30):
        torch.manual_seed(seed)
        # Equal planes: gain and polarity change the shade of a label, but all its pixels alike.
        shades, moved = augment(labels * 20 + 100, labels, "thermal")
        seen = moved != IGNORE
        assert bool((shades[~seen] == 0).all())
        for label in moved[seen].unique():
            assert len(shades[moved == label].unique()) == 1


def test_erasing_sometimes_hides_labels_and_never_invents_them() -> None:
    hidden = 0
    for seed in range(30):
        torch.manual_seed(seed)
        _, labels = augment(crop_of("thermal"), torch.full(SIZE, 3, dtype=torch.uint8), "thermal")
        assert set(labels.unique().tolist()) <= {3, IGNORE}
        hidden += int((labels == IGNORE).any())
    assert 0 < hidden < 30


def test_a_picture_without_labels_stays_without() -> None:
    _, labels = augment(crop_of("visible"), torch.full(SIZE, IGNORE, dtype=torch.uint8), "visible")
    assert bool((labels == IGNORE).all())


def test_colour_vanishes_from_about_half_of_the_visible_pictures() -> None:
    grey = 0
    for seed in range(60):
        torch.manual_seed(seed)
        crop, _ = augment(crop_of("visible"), torch.zeros(SIZE, dtype=torch.uint8), "visible")
        grey += int(torch.equal(crop[..., 0], crop[..., 1]))
    assert 15 < grey < 45
