"""Puts a network together from a recipe's numbers; the only place that turns numbers into parts.

Shapes: B visible and B thermal images per step (2B rows, visible first), C channels of the last map, I identities,
N parts of size d, A attributes, K parts of a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edge_reid.data.loader import Targets
from edge_reid.models.attention import PartAttention
from edge_reid.models.heads import AttendingStripes, EmbeddingHead, PartRelations, PlainStripes, SemanticParts, Stripes
from edge_reid.models.narrow import narrow
from edge_reid.models.osnet import build_osnet, initialize
from edge_reid.models.output import People, TrainingOutput
from edge_reid.models.resnet import ResNet50
from edge_reid.models.students import Classifiers
from edge_reid.models.two_stream import Trunk, TwoStream

if TYPE_CHECKING:
    from edge_reid.recipes.base import Recipe


class TrainingNetwork(nn.Module):
    """The network and what serves its training only: classifiers, attribute and part heads, a recipe's own parts."""

    def __init__(self, network: TwoStream, people: People, auxiliaries: Mapping[str, nn.Module], parts: int) -> None:
        super().__init__()
        head = network.head
        self.network = network
        self.classifiers = nn.ModuleDict()
        if head.whole_dim:
            self.classifiers["whole"] = Classifiers(1, head.whole_dim, people.identities)
        if head.part_shape[0]:
            self.classifiers["parts"] = Classifiers(*head.part_shape, people.identities)
        self.attributes = nn.ModuleList(nn.Linear(network.embedding_dim, size) for size in people.attribute_sizes)
        # A network that finds parts itself is taught there; any other gets a head for it.
        finds_parts = head.semantic is not None or len(network.attention)
        labelled = people.parsing and not finds_parts
        self.parsing = nn.Conv2d(head.channels, parts + 1, 1) if labelled else None
        self.attributes.apply(initialize)
        self.auxiliaries = tuple(auxiliaries)
        for name, module in auxiliaries.items():
            self.add_module(name, module)

    def forward(self, visible: Tensor, thermal: Tensor, targets: Targets) -> TrainingOutput:
        """Normalised images `(B, 3, H, W)` of either modality -> the outputs for `[visible; thermal]`."""
        maps = self.network.joint_maps(visible, thermal)
        head = self.network.head(maps[-1])
        features = torch.cat([head.whole_bn, torch.flatten(head.parts_bn, 1)], dim=1)
        parsing = [*maps.part_logits, *([] if head.part_logits is None else [head.part_logits])]
        if self.parsing is not None:
            parsing.append(self.parsing(maps[-1]))
        output = TrainingOutput(
            maps=maps,
            head=head,
            logits=self.classify(head.whole_bn) if "whole" in self.classifiers else None,
            part_logits=self.classifiers["parts"](head.parts_bn) if "parts" in self.classifiers else None,
            attribute_logits=[attribute(features) for attribute in self.attributes],
            parsing_logits=parsing,
            targets=targets,
            extras={},
        )
        for name in self.auxiliaries:
            output.extras[name] = self.get_submodule(name)(output, self.classify)
        return output

    def classify(self, features: Tensor) -> Tensor:
        """Global features `(R, C) -> (R, I)`."""
        logits: Tensor = self.classifiers["whole"](features.unsqueeze(1)).squeeze(1)
        return logits


def build_network(recipe: Recipe) -> TwoStream:
    """The untrained network that is deployed."""
    trunk: Trunk = ResNet50() if recipe.arch == "resnet50" else build_osnet(recipe.width)
    head = build_head(recipe, trunk.channels[4])
    attention = {stage: PartAttention(trunk.channels[stage], recipe.semantic_parts) for stage in recipe.attention_after}
    for module in (head, *attention.values()):
        module.apply(initialize)
    network = TwoStream(trunk, head, share_from=recipe.share_from, share_mode=recipe.share_mode, attention=attention)
    narrow(network, recipe.layers)
    return network


def build_head(recipe: Recipe, channels: int) -> EmbeddingHead:
    """The head of a recipe's numbers on a last map of so many channels."""
    semantic = None
    if recipe.semantic_head:
        semantic = SemanticParts(channels, recipe.part_dim, recipe.semantic_parts)
    return EmbeddingHead(
        channels,
        [_stripes(recipe, channels, count) for count in recipe.granularities],
        whole=recipe.whole,
        semantic=semantic,
        balanced=recipe.balanced,
    )


def _stripes(recipe: Recipe, channels: int, count: int) -> Stripes:
    if recipe.relation == "one_vs_rest":
        return PartRelations(channels, recipe.part_dim, count)
    if recipe.relation == "self_attention":
        return AttendingStripes(channels, recipe.part_dim, count)
    return PlainStripes(channels, recipe.part_dim, count, own_layers=recipe.own_layers)


def build_training_network(recipe: Recipe, people: People) -> TrainingNetwork:
    """The same network with its train-only parts."""
    network = build_network(recipe)
    return TrainingNetwork(network, people, recipe.auxiliaries(network, people), recipe.semantic_parts)
