"""Puts a network together from a recipe's numbers; the only place that turns numbers into parts.

Shapes: B visible and B thermal images per step (2B rows, visible first), C channels of the last map, I identities,
N parts of size d, A attributes, h x w the last map's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from edge_reid.models.heads import EmbeddingHead, HeadOutput
from edge_reid.models.osnet import CHANNELS, build_osnet, initialize
from edge_reid.models.students import Classifiers, Student
from edge_reid.models.two_stream import ShareMode, TwoStream

PART_CLASSES = 6
"""Background, head, upper, lower, shoes, bag."""

STUDENT_STAGES = (1, 2, 3)


class NetworkNumbers(Protocol):
    """The part of a recipe that decides the network."""

    @property
    def width(self) -> float: ...
    @property
    def share_from(self) -> int: ...
    @property
    def share_mode(self) -> ShareMode: ...
    @property
    def granularities(self) -> tuple[int, ...]: ...
    @property
    def part_dim(self) -> int: ...


class TrainingOutput(NamedTuple):
    """Everything the losses of a step can ask for; rows are visible first, then thermal."""

    head: HeadOutput
    logits: Tensor
    """`(2B, I)` of the global feature."""
    part_logits: Tensor
    """`(2B, N, I)`"""
    student_features: list[Tensor]
    """`(2B, C)` each."""
    student_logits: list[Tensor]
    """`(2B, I)` each."""
    attribute_logits: list[Tensor]
    """`(2B, values of the attribute)` each; empty without attributes."""
    parsing_logits: Tensor | None
    """`(2B, 6, h, w)`"""


class TrainingNetwork(nn.Module):
    """The network and all that serves its training only: students, classifiers, attribute and part heads."""

    def __init__(
        self,
        network: TwoStream,
        students: nn.ModuleList,
        *,
        identities: int,
        part_shape: tuple[int, int],
        attribute_sizes: Sequence[int],
        parsing: bool,
    ) -> None:
        super().__init__()
        parts, part_dim = part_shape
        channels = network.embedding_dim - parts * part_dim
        self.network = network
        self.students = students
        self.classifiers = nn.ModuleDict(
            {
                "whole": Classifiers(1, channels, identities),
                "parts": Classifiers(parts, part_dim, identities),
                "students": Classifiers(len(students), channels, identities),
            }
        )
        self.attributes = nn.ModuleList(nn.Linear(network.embedding_dim, size) for size in attribute_sizes)
        self.parsing = nn.Conv2d(channels, PART_CLASSES, 1) if parsing else None
        self.students.apply(initialize)
        self.attributes.apply(initialize)

    def forward(self, visible: Tensor, thermal: Tensor) -> TrainingOutput:
        """Normalised images `(B, 3, H, W)` of either modality -> the outputs for `[visible; thermal]`."""
        maps = self.network.joint_maps(visible, thermal)
        head: HeadOutput = self.network.head(maps[-1])
        features = torch.cat([head.whole_bn, torch.flatten(head.parts_bn, 1)], dim=1)
        shallow, normalised = zip(
            *(s(maps[k]) for s, k in zip(self.students, STUDENT_STAGES, strict=True)), strict=True
        )
        return TrainingOutput(
            head=head,
            logits=self.classifiers["whole"](head.whole_bn.unsqueeze(1)).squeeze(1),
            part_logits=self.classifiers["parts"](head.parts_bn),
            student_features=list(shallow),
            student_logits=list(self.classifiers["students"](torch.stack(normalised, dim=1)).unbind(1)),
            attribute_logits=[attribute(features) for attribute in self.attributes],
            parsing_logits=None if self.parsing is None else self.parsing(maps[-1]),
        )


def build_network(numbers: NetworkNumbers) -> TwoStream:
    """The untrained network that is deployed."""
    trunk = build_osnet(numbers.width)
    head = EmbeddingHead(CHANNELS[numbers.width][3], numbers.granularities, numbers.part_dim)
    head.granularities.apply(initialize)
    return TwoStream(trunk, head, share_from=numbers.share_from, share_mode=numbers.share_mode)


def build_training_network(
    numbers: NetworkNumbers, *, identities: int, attribute_sizes: Sequence[int] = (), parsing: bool = False
) -> TrainingNetwork:
    """The same network with its train-only parts: attribute heads for `attribute_sizes`, a part head if `parsing`."""
    network = build_network(numbers)
    channels = CHANNELS[numbers.width]
    students = nn.ModuleList(Student(channels[k], channels[3]) for k in STUDENT_STAGES)
    return TrainingNetwork(
        network,
        students,
        identities=identities,
        part_shape=(sum(numbers.granularities), numbers.part_dim),
        attribute_sizes=attribute_sizes,
        parsing=parsing,
    )
