"""Who the tracks are: people of the gallery, newcomers, or nobody knows. Unsure means unknown.

A body is what belongs to one person now: a track of one camera, or one of each that the matcher has linked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping

from edge_reid.errors import UserError
from edge_reid.gallery.base import Prototype
from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.matching_rule import MatchingRule
from edge_reid.people.bodies import Body, Evidence, Look, Looks, Member, Turn
from edge_reid.people.matching import Change
from edge_reid.people.recognition import evidence_of, verdicts
from edge_reid.types import MODALITIES, Modality

VOTES_TO_NAME = 3
"""Verdicts in a row that make a body someone of the gallery, or undo that; a couple needs one less."""

VOTES_FOR_NEWCOMER = 8
"""Verdicts in a row that make a track a newcomer while it lasts: about four seconds, in which it may find its partner
in the other view. A track that ends needs only `VOTES_TO_NAME`, and a couple is a newcomer at once."""


class Identities:
    """Gives every body a person or none; one person is never two tracks of one camera at once."""

    def __init__(self, gallery: SqliteGallery, rule: MatchingRule, *, epoch: float) -> None:
        """Take the gallery, the bundle's rule, and what the stream's second 0 is in seconds since 1970."""
        self.epoch = epoch
        self._gallery = gallery
        self._rule = rule
        self._bodies: dict[Member, Body] = {}
        self._last: dict[Member, Look] = {}
        self._linked: set[tuple[int, int]] = set()
        """Couples (visible, thermal) that the matcher holds."""
        self._parted: set[tuple[int, int]] = set()
        """Couples that it held and let go: they are two people while both last."""

    def person(self, modality: Modality, track: int) -> int | None:
        """The number of a track's person, None while it is unknown."""
        body = self._bodies.get((modality, track))
        return body.person if body else None

    def step(
        self,
        looks: Looks,
        changes: list[Change],
        changed: Mapping[Modality, set[int]],
        apart: Collection[tuple[int, int]],
    ) -> list[Turn]:
        """Take what all live embedded tracks look like and decide about those that look different than before.

        Args:
            looks: by modality and track.
            changes: links made and undone since the last step.
            changed: tracks whose look is new since the last step.
            apart: couples (visible, thermal) that are seen to stand at different places.
        """
        turns: list[Turn] = []
        for modality, tracks in looks.items():
            for track, look in tracks.items():
                self._last[modality, track] = look
                self._bodies.setdefault((modality, track), Body({modality: track}))
        self._follow(changes)
        joined = [body for couple in sorted(self._linked) for body in self._join(*couple, turns)]
        moved = [self._bodies[modality, track] for modality, tracks in changed.items() for track in sorted(tracks)]
        heard = list(dict.fromkeys([*joined, *moved]))
        two = self._parted.union(apart)
        evidence = [self._evidence(body, two) for body in heard]
        for body, (verdict, found) in zip(heard, verdicts(evidence, self._rule.margin), strict=True):
            body.hear(verdict)
            self._decide(body, found, turns)
        return turns + self._settle()

    def end(self, modality: Modality, track: int) -> list[Turn]:
        """Let a track go that ended; how it looked is remembered if it is known who it was."""
        turns: list[Turn] = []
        side = MODALITIES.index(modality)
        self._linked = {couple for couple in self._linked if couple[side] != track}
        self._parted = {couple for couple in self._parted if couple[side] != track}
        body, look = self._bodies.pop((modality, track), None), self._last.pop((modality, track), None)
        if body is None or look is None:
            return turns
        if body.person is None and body.verdict == "newcomer" and body.votes >= VOTES_TO_NAME:
            with contextlib.suppress(UserError):  # the disk takes nothing, so there are no numbers: they stay unknown
                turns.append(self._greet(body, modality, look))
        elif body.person is not None and (body.new or len(body.members) > 1 or body.surplus >= self._rule.margin):
            # someone recognised with little to spare may be someone else: that look would spoil the prototypes
            with contextlib.suppress(KeyError):  # another program has just forgotten them
                self._remember(body.person, modality, look)
        self._note(body, modality, look)
        del body.members[modality]
        return turns

    def note(self) -> None:
        """Write down who is where, so that a visit that goes on is known after a power cut."""
        for (modality, track), body in self._bodies.items():
            self._note(body, modality, self._last[modality, track])

    def drop_forgotten(self) -> None:
        """Let nobody be a person who is in the gallery no more: somebody else removed them from it."""
        for body in self._bodies.values():
            try:
                self._gallery.person(body.person or 0)
            except KeyError:
                body.lose()

    def enrol(self, modality: Modality, track: int, name: str) -> int:
        """Give a live track's person a name, making them a person of the gallery if they are none yet.

        Raises:
            KeyError: there is no such track, or it has not been embedded yet.
            UserError: the name is none, or somebody else's.
        """
        body = self._bodies[modality, track]
        other = self._gallery.named(name)
        if other not in (None, body.person):
            raise UserError(f"name {name!r}: person {other} has it; choose another, or rename them first")
        person = body.person or self._greet(body, modality, self._last[modality, track]).person
        body.new = False
        self._gallery.rename(person, name)
        self._gallery.accessed("enrol", person, 1)
        return person

    def _looks(self, body: Body) -> dict[Modality, Look]:
        return {modality: self._last[modality, track] for modality, track in body.members.items()}

    def _follow(self, changes: list[Change]) -> None:
        """Take over links that were made and part bodies whose link was undone."""
        for change in changes:
            couple = (change.link.visible, change.link.thermal)
            if change.made:
                self._linked.add(couple)
                self._parted.discard(couple)
                continue
            self._linked.discard(couple)
            self._parted.add(couple)
            body = self._bodies["visible", couple[0]]
            if body is self._bodies["thermal", couple[1]]:
                # the person stays with one of the two, or two people would be one
                del body.members["thermal"]
                self._bodies["thermal", couple[1]] = Body({"thermal": couple[1]})

    def _join(self, visible: int, thermal: int, turns: list[Turn]) -> list[Body]:
        """One body of the two that are linked, unless both are people known before: then one is mistaken for another.

        Of two people stays who was not just met, else who was met first.
        """
        first, second = self._bodies["visible", visible], self._bodies["thermal", thermal]
        kept, gone = sorted((first, second), key=lambda body: (body.person is None, body.new, body.person or 0))
        differ = gone.person not in (None, kept.person)
        if first is second or len(first.members) + len(second.members) > len(MODALITIES) or (differ and not gone.new):
            return []
        if kept.person is not None and differ:
            turns.append(self._merge(gone, kept.person, None))
        kept.members |= gone.members
        for member in gone.members.items():
            self._bodies[member] = kept
        return [kept]

    def _evidence(self, body: Body, apart: Collection[tuple[int, int]]) -> dict[int, Evidence]:
        """For being each of the people in the gallery whom it may be."""
        found = evidence_of(self._looks(body), self._gallery, self._rule)
        if body.new:
            found.pop(body.person or 0, None)  # everyone is like themselves
        for other in dict.fromkeys(self._bodies.values()):
            held = found.get(other.person or 0)
            if held is None or not self._are_two(body, other, apart):
                continue
            # they hold who they are, unless this one is much more like them
            if other.new or held.surplus < other.surplus + self._rule.margin:
                del found[other.person or 0]
        return found

    def _are_two(self, body: Body, other: Body, apart: Collection[tuple[int, int]]) -> bool:
        """Whether two bodies were seen at once in one camera, or at two places."""
        if body is other:
            return False
        mine, theirs = self._looks(body), self._looks(other)
        for modality in mine.keys() & theirs.keys():
            if mine[modality].seen > theirs[modality].started and theirs[modality].seen > mine[modality].started:
                return True
        couples = [(body.members.get("visible"), other.members.get("thermal"))]
        couples += [(other.members.get("visible"), body.members.get("thermal"))]
        return any(couple in apart for couple in couples)

    def _decide(self, body: Body, found: Evidence | None, turns: list[Turn]) -> None:
        """Act on what a body has heard."""
        if body.new and self._gallery.names().get(body.person or 0):
            body.new = False  # somebody gave them a name: they are who they are
        verdict, linked = body.verdict, len(body.members) == len(MODALITIES)
        sure = body.votes >= VOTES_TO_NAME - (linked and body.person is None)
        if verdict == body.person and found is not None:
            body.surplus = found.surplus
        elif isinstance(verdict, int) and sure:
            turns.append(self._merge(body, verdict, found) if body.new else self._take(body, verdict, found))
        elif body.person is None and self._is_newcomer(body, linked):
            modality, look = next(iter(self._looks(body).items()))
            with contextlib.suppress(UserError):  # as above
                turns.append(self._greet(body, modality, look))
        elif body.person is not None and not body.new and verdict == "newcomer" and sure:
            turns.append(Turn("unidentified", body.person, dict(body.members)))
            body.lose()

    def _is_newcomer(self, body: Body, linked: bool) -> bool:
        if linked:  # of whom both views shall show one number, also when they are a little like somebody
            return body.verdict == "newcomer" or (body.verdict == "unsure" and body.votes >= VOTES_TO_NAME)
        return body.verdict == "newcomer" and body.votes >= VOTES_FOR_NEWCOMER

    def _take(self, body: Body, person: int, found: Evidence | None) -> Turn:
        """Recognise someone."""
        body.person, body.new, body.surplus = person, False, found.surplus if found else 0.0
        return Turn("identified", person, dict(body.members), found)

    def _settle(self) -> list[Turn]:
        """Let nobody be two bodies that are there at once: a couple outweighs a track, then the better likeness counts.

        Links and recognition may disagree, and a track that was lost may come back after another took its place.
        """
        turns = []
        bodies = sorted(
            dict.fromkeys(self._bodies.values()), key=lambda body: (-len(body.members), not body.new, -body.surplus)
        )
        for place, body in enumerate(bodies):
            better = [other for other in bodies[:place] if other.person == body.person]
            if body.person is not None and any(self._are_two(body, other, self._parted) for other in better):
                turns.append(Turn("unidentified", body.person, dict(body.members)))
                body.lose()
        return turns

    def _merge(self, body: Body, person: int, found: Evidence | None) -> Turn:
        """Someone just met is someone known."""
        gone = body.person or person
        with contextlib.suppress(KeyError):
            self._gallery.merge(person, gone)
        for other in self._bodies.values():
            if other.person == gone:
                other.person = person
        self._take(body, person, found)
        return Turn("person_merged", person, dict(body.members), found, gone)

    def _greet(self, body: Body, modality: Modality, look: Look) -> Turn:
        """Make a newcomer a person of the gallery, by one look: that of a partner is theirs when the link has held."""
        body.person, body.new = self._remember(None, modality, look), True
        return Turn("person_new", body.person, dict(body.members))

    def _remember(self, person: int | None, modality: Modality, look: Look) -> int:
        prototype = Prototype(modality, look.vector, look.quality, self.epoch + look.seen)
        return self._gallery.add(prototype, person, crop=look.picture() if self._gallery.keep_crops else None)

    def _note(self, body: Body, modality: Modality, look: Look) -> None:
        if body.person is not None:
            with contextlib.suppress(KeyError):
                self._gallery.sighted(body.person, modality, self.epoch + look.started, self.epoch + look.seen)
