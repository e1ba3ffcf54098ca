"""The optimiser of a recipe."""

from __future__ import annotations

import torch

from edge_reid.models.build import TrainingNetwork
from edge_reid.recipes.base import Recipe


def build_optimizer(network: TrainingNetwork, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD or AdamW without decay of biases and BatchNorm; "factor" is a group's share of the learning rate."""
    deployed = network.network
    trunk = {id(p) for part in (deployed.visible, deployed.thermal, deployed.shared) for p in part.parameters()}
    groups = []
    for in_trunk, factor in ((True, recipe.trunk_rate), (False, 1.0)):
        own = [p for p in network.parameters() if p.requires_grad and (id(p) in trunk) == in_trunk]
        for decays, decay in ((True, recipe.weight_decay), (False, 0.0)):
            chosen = [p for p in own if (p.dim() > 1) == decays]
            groups.append({"params": chosen, "weight_decay": decay, "factor": factor})
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True)
