"""A training step of a tiny network, for the tests of recipes and their parts."""

from __future__ import annotations

import torch
from torch import Tensor

from edge_reid.data.loader import Targets
from edge_reid.models.build import TrainingNetwork, build_training_network
from edge_reid.models.output import People, TrainingOutput
from edge_reid.recipes.base import Recipe

PEOPLE = People(identities=3, cameras=2, attribute_sizes=(2, 3), parsing=True)


def targets(identities: int = 2, pictures: int = 2, size: tuple[int, int] = (64, 32)) -> Targets:
    """Of so many identities, each with so many pictures in either modality, seen by two cameras in turn."""
    rows = torch.arange(identities).repeat_interleave(pictures).repeat(2)
    return Targets(
        identities=rows,
        modalities=torch.arange(2).repeat_interleave(identities * pictures),
        cameras=torch.arange(pictures).repeat(2 * identities) % 2,
        attributes=torch.tensor([[0, 2], [1, -1]])[rows % 2],
        parts=torch.randint(0, 6, (len(rows), *size), dtype=torch.uint8),
    )


def images(told: Targets, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Random normalised pictures for a step's rows."""
    rows = len(told.identities) // 2
    return torch.randn(rows, 3, *size), torch.randn(rows, 3, *size)


def step(recipe: Recipe, people: People = PEOPLE, seed: int = 0) -> tuple[TrainingNetwork, TrainingOutput]:
    """A new network and what it says of one step."""
    torch.manual_seed(seed)
    network = build_training_network(recipe, people)
    told = targets(size=recipe.size)
    output: TrainingOutput = network(*images(told, recipe.size), told)
    return network, output
