"""Tracks that look like people to a gallery that knows some of them."""

from __future__ import annotations

from looks import person, rule_of

from edge_reid.gallery.base import Prototype
from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.people.bodies import Look, Looks, Turn
from edge_reid.people.identities import Identities
from edge_reid.people.matching import Change, Link
from edge_reid.types import Modality

VIEW: dict[Modality, int] = {"visible": 1, "thermal": 2}
EPOCH = 1_000_000.0


def enrolled(gallery: SqliteGallery, identity: int, *modalities: Modality) -> int:
    number = None
    for modality in modalities:
        number = gallery.add(Prototype(modality, person(identity, VIEW[modality]), 1.0, EPOCH), number)
    assert number is not None
    return number


class Stage:
    """Tracks that look like identities, step by step."""

    def __init__(self, gallery: SqliteGallery, margin: float = 0.05) -> None:
        self.identities = Identities(gallery, rule_of(margin=margin), epoch=EPOCH)
        self.time = 0.0
        self.started: dict[tuple[Modality, int], float] = {}

    def step(
        self,
        tracks: dict[Modality, dict[int, int]],
        *changes: Change,
        apart: tuple[tuple[int, int], ...] = (),
        times: int = 1,
    ) -> list[Turn]:
        turns = []
        for _ in range(times):
            self.time += 0.1
            looks: Looks = {
                modality: {
                    track: Look(
                        person(identity, VIEW[modality]), 1.0,
                        self.started.setdefault((modality, track), self.time - 0.1), self.time,
                    )
                    for track, identity in here.items()
                }
                for modality, here in tracks.items()
            }  # fmt: skip
            changed = {modality: set(here) for modality, here in tracks.items()}
            turns += self.identities.step(looks, list(changes), changed, apart)
            changes = ()
        return turns


def link(visible: int, thermal: int, *, made: bool = True) -> Change:
    return Change(Link(visible, thermal, 0.8), made=made)
