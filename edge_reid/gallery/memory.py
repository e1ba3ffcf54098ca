"""The people of a gallery as they are in memory: what searches read, and never the disk.

A `ticket` is that of the last write, see `edge_reid.gallery.store.Store.write`: until it is on disk, memory knows
better than the file, afterwards the file does, which other programs may have changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_reid.gallery.base import Candidate
from edge_reid.gallery.index import Index
from edge_reid.gallery.records import Keep, Person
from edge_reid.types import MODALITIES, Modality


@dataclass
class Known:
    """A person."""

    name: str | None
    first_seen: float
    last_seen: float
    ticket: int
    looks: dict[Modality, set[int]] = field(default_factory=dict)
    """Numbers of their prototypes; no modality without any."""


@dataclass
class Look:
    """A prototype without its vector, which lies in the index."""

    person: int
    modality: Modality
    quality: float
    ticket: int


class Memory:
    """People, their prototypes, and an index of each modality."""

    def __init__(self, dimension: int) -> None:
        """Start empty, for vectors `(dimension,)`."""
        self.people: dict[int, Known] = {}
        self.looks: dict[int, Look] = {}
        self.gone_people: dict[int, int] = {}
        """Tickets of deletions that are not on disk yet."""
        self.gone_looks: dict[int, int] = {}
        self._indexes: dict[Modality, Index] = {modality: Index(dimension) for modality in MODALITIES}

    def add(self, prototype: int, look: Look, vector: NDArray[np.float32]) -> None:
        """Give a person who is there a prototype `(D,)`."""
        self.looks[prototype] = look
        self.people[look.person].looks.setdefault(look.modality, set()).add(prototype)
        self._indexes[look.modality].add(prototype, look.person, vector)

    def remove(self, prototype: int, ticket: int) -> None:
        """Forget one prototype."""
        look = self.looks.pop(prototype)
        self._indexes[look.modality].remove(prototype)
        self._part(prototype, look)
        self.gone_looks[prototype] = ticket

    def give(self, prototype: int, person: int, ticket: int) -> None:
        """Make a prototype someone else's."""
        look = self.looks[prototype]
        self._part(prototype, look)
        look.person, look.ticket = person, ticket
        self.people[person].looks.setdefault(look.modality, set()).add(prototype)
        self._indexes[look.modality].give(prototype, person)

    def forget(self, person: int, ticket: int) -> int:
        """Forget a person; returns how many prototypes that were."""
        prototypes = self.prototypes(person)
        for prototype in prototypes:
            self.remove(prototype, ticket)
        del self.people[person]
        self.gone_people[person] = ticket
        return len(prototypes)

    def settle(self, committed: int) -> None:
        """Drop what was remembered only until it was on disk."""
        for gone in (self.gone_people, self.gone_looks):
            for number in [number for number, ticket in gone.items() if ticket <= committed]:
                del gone[number]

    def prototypes(self, person: int) -> list[int]:
        """The numbers of a person's prototypes."""
        return [number for looks in self.people[person].looks.values() for number in looks]

    def excess(self, person: int, most: int) -> list[int]:
        """The worst of a person's prototypes beyond so many of each modality."""
        return [
            prototype
            for looks in self.people[person].looks.values()
            for prototype in sorted(looks, key=lambda number: self.looks[number].quality)[: max(len(looks) - most, 0)]
        ]

    def person(self, number: int, keep: Keep) -> Person:
        """What is told of a person who is there."""
        known = self.people[number]
        return Person(
            number, known.name, known.first_seen, known.last_seen, keep.expires(known.name, known.last_seen),
            {modality: len(known.looks[modality]) for modality in MODALITIES if modality in known.looks},
        )  # fmt: skip

    def named(self, name: str) -> int | None:
        """The number of the person with this name."""
        return next((number for number, known in self.people.items() if known.name == name), None)

    def count(self, modality: Modality) -> int:
        """How many prototypes there are of a modality."""
        return len(self._indexes[modality])

    def search(self, vectors: NDArray[np.float32], modality: Modality, most: int) -> list[list[Candidate[int]]]:
        """The people nearest to each of the vectors `(N, D)`, best first."""
        return self._indexes[modality].search(vectors, most)

    def _part(self, prototype: int, look: Look) -> None:
        looks = self.people[look.person].looks
        looks[look.modality].remove(prototype)
        if not looks[look.modality]:
            del looks[look.modality]
