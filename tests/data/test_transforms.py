"""Random changes move picture and label map together."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from edge_reid.data.transforms import CHANNEL_FILL, Augmentation, ChannelErasing, ChannelExchange, augment
from edge_reid.types import IGNORE, MODALITIES, Modality

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


def test_channel_exchange_lets_one_plane_stand_for_all() -> None:
    planes = torch.stack([torch.full(SIZE, value, dtype=torch.uint8) for value in (10, 20, 30)])
    chosen = set()
    for seed in range(30):
        torch.manual_seed(seed)
        changed = ChannelExchange(1.0)(planes)
        assert len(changed.unique()) == 1
        assert changed.shape == planes.shape
        chosen.add(int(changed[0, 0, 0]))
    assert chosen == {10, 20, 30}
    torch.manual_seed(0)
    assert torch.equal(ChannelExchange(0.0)(planes), planes)


@pytest.mark.parametrize("planes", [1, 3])
def test_channel_erasing_writes_one_rectangle_of_a_colour_and_hides_its_labels(planes: int) -> None:
    stacked = torch.full((planes + 1, *SIZE), 200, dtype=torch.uint8)
    areas = []
    for seed in range(60):
        torch.manual_seed(seed)
        changed = ChannelErasing(1.0)(stacked)
        erased = changed[-1] == 0
        rows, columns = erased.any(1).nonzero(), erased.any(0).nonzero()
        tall, wide = int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1
        assert tall * wide == int(erased.sum()), "a rectangle"
        for plane, fill in zip(changed[:-1], CHANNEL_FILL, strict=False):
            assert bool((plane[erased] == fill).all())
            assert bool((plane[~erased] == 200).all())
        areas.append(tall * wide / (SIZE[0] * SIZE[1]))
    assert 0.01 < min(areas) < 0.1 < 0.3 < max(areas) <= 0.42
    torch.manual_seed(0)
    assert torch.equal(ChannelErasing(0.0)(stacked), stacked)


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("augmentation", get_args(Augmentation))
def test_every_augmentation_keeps_shape_type_and_the_labels_of_its_pixels(
    augmentation: Augmentation, modality: Modality
) -> None:
    crop, labels = crop_of(modality), torch.randint(0, 6, SIZE, dtype=torch.uint8)
    for seed in range(10):
        torch.manual_seed(seed)
        changed, moved = augment(crop, labels, modality, augmentation)
        assert (changed.dtype, changed.shape, moved.shape) == (torch.uint8, crop.shape, labels.shape)
        assert set(moved.unique().tolist()) <= {*range(6), IGNORE}


def places() -> torch.Tensor:
    """A crop whose planes are each pixel's row and column, from 1 on, and a constant."""
    rows, columns = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
    return torch.stack([rows + 1, columns + 1, torch.full(SIZE, 200)], dim=2).to(torch.uint8)


def seen(augmentation: Augmentation, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The changed crop, and which pixels are of the picture."""
    torch.manual_seed(seed)
    changed, labels = augment(places(), torch.zeros(SIZE, dtype=torch.uint8), "visible", augmentation)
    return changed, labels != IGNORE


def test_light_changes_shift_and_flip_and_nothing_else() -> None:
    shifts, flips = set(), 0
    for seed in range(40):
        changed, inside = seen("light", seed)
        assert bool((changed[~inside] == 0).all()), "what came from outside is black"
        rows, columns = inside.nonzero().unbind(1)
        assert len(rows) == (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1), "nothing is erased"
        down = (changed[..., 0].int() - 1)[inside] - rows
        mirrored = (SIZE[1] - changed[..., 1].int())[inside] - columns
        straight = (changed[..., 1].int() - 1)[inside] - columns
        flipped = len(mirrored.unique()) == 1
        assert len(down.unique()) == 1 and (flipped or len(straight.unique()) == 1)
        assert bool((changed[..., 2][inside] == 200).all()), "no gain"
        across = int(mirrored[0] if flipped else straight[0])
        assert max(abs(int(down[0])), abs(across)) <= 10
        shifts.add((int(down[0]), across))
        flips += flipped
    assert len(shifts) > 30
    assert 10 < flips < 30


@pytest.mark.parametrize(("augmentation", "fill"), [("erasing", (0, 0, 0)), ("channels", CHANNEL_FILL)])
def test_about_half_of_the_pictures_lose_a_rectangle(augmentation: Augmentation, fill: tuple[int, int, int]) -> None:
    erased = 0
    for seed in range(60):
        changed, inside = seen(augmentation, seed)
        rows, columns = inside.nonzero().unbind(1)
        hole = ~inside
        hole[: rows.min()], hole[rows.max() + 1 :] = False, False
        hole[:, : columns.min()], hole[:, columns.max() + 1 :] = False, False
        if bool(hole.any()):
            erased += 1
            kinds = {tuple(pixel) for pixel in changed[hole].tolist()}
            greys = {(value,) * 3 for value in fill}  # a channel may have been exchanged afterwards
            assert kinds == {fill} or (len(kinds) == 1 and kinds <= greys)
    assert 10 < erased < 45


def test_channels_are_exchanged_in_about_half_of_the_visible_pictures() -> None:
    grey = sum(bool((seen("channels", seed)[0].float().std(dim=2) == 0).all()) for seed in range(60))
    assert 15 < grey < 45
    assert all(not bool((seen("light", seed)[0].float().std(dim=2) == 0).all()) for seed in range(10))
