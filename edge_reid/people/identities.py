"""Who the tracks are: people of the gallery, newcomers, or nobody knows. Unsure means unknown.

A body is what belongs to one person now: a track of one camera, or one of each that the matcher has linked. Evidence
for someone is the cosine of a track with their prototypes, less the least cosine at which two are one (the surplus).
Prototypes of the track's own modality outweigh those of the other: within one modality people are told apart better.

Shapes: D the embedding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping

import numpy as np
from scipy.optimize import linear_sum_assignment

from edge_reid.errors import UserError
from edge_reid.gallery.base import Prototype
from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.matching_rule import MatchingRule
from edge_reid.people.bodies import Body, Evidence, Look, Looks, Member, Turn, Verdict
from edge_reid.people.matching import Change
from edge_reid.types import MODALITIES, Modality, other_modality

VOTES_TO_NAME = 3
"""Verdicts in a row that make a body someone of the gallery, or undo that."""

VOTES_FOR_NEWCOMER = 8
"""Verdicts in a row that make a track a newcomer while it lasts: about four seconds, in which it may find its partner
in the other view. A track that ends needs only `VOTES_TO_NAME`."""

CANDIDATES = 8
"""People of the gallery who are looked at for a track: those beyond are less alike than all of these."""


class Identities:
    """Gives every body a person or none; one person is never two tracks of one camera at once."""

    def __init__(self, gallery: SqliteGallery, rule: MatchingRule, *, epoch: float) -> None:
        """Take the gallery, the bundle's rule, and what the stream's second 0 is in seconds since 1970."""
        self._gallery = gallery
        self._rule = rule
        self._epoch = epoch
        self._bodies: dict[Member, Body] = {}
        self._last: dict[Member, Look] = {}

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
        joined = [body for change in changes for body in self._follow(change, turns)]
        moved = [self._bodies[modality, track] for modality, tracks in changed.items() for track in sorted(tracks)]
        heard = list(dict.fromkeys([*joined, *moved]))
        verdicts = self._verdicts([self._evidence(body, apart) for body in heard])
        for body, (verdict, found) in zip(heard, verdicts, strict=True):
            body.hear(verdict)
            self._decide(body, found, turns)
        return turns + self._settle()

    def end(self, modality: Modality, track: int) -> list[Turn]:
        """Let a track go that ended; how it looked is remembered if it is known who it was."""
        turns: list[Turn] = []
        body, look = self._bodies.pop((modality, track), None), self._last.pop((modality, track), None)
        if body is None or look is None:
            return turns
        if body.person is None and body.verdict == "newcomer" and body.votes >= VOTES_TO_NAME:
            with contextlib.suppress(UserError):  # the disk takes nothing, so there are no numbers: they stay unknown
                turns.append(self._greet(body, {modality: look}))
        elif body.person is not None and (body.new or len(body.members) > 1 or body.surplus >= self._rule.margin):
            # someone recognised with little to spare may be someone else: that look would spoil the prototypes
            with contextlib.suppress(KeyError):  # another program has just forgotten them
                self._remember(body.person, modality, look)
        if body.person is not None:
            with contextlib.suppress(KeyError):
                self._gallery.sighted(body.person, modality, self._epoch + look.started, self._epoch + look.seen)
        del body.members[modality]
        return turns

    def drop_forgotten(self) -> None:
        """Let nobody be a person who is in the gallery no more: somebody else removed them from it."""
        for body in self._bodies.values():
            try:
                self._gallery.person(body.person or 0)
            except KeyError:
                body.person, body.new, body.votes = None, False, 0

    def enrol(self, modality: Modality, track: int, name: str) -> int:
        """Give a live track's person a name, making them a person of the gallery if they are none yet.

        Raises:
            KeyError: there is no such track, or it has not been embedded yet.
        """
        body = self._bodies[modality, track]
        person = body.person or self._greet(body, self._looks(body)).person
        body.new = False
        self._gallery.rename(person, name)
        return person

    def _looks(self, body: Body) -> dict[Modality, Look]:
        return {modality: self._last[modality, track] for modality, track in body.members.items()}

    def _follow(self, change: Change, turns: list[Turn]) -> list[Body]:
        """Join two bodies that were linked or part one whose link was undone; returns the joined one."""
        first = self._bodies["visible", change.link.visible]
        second = self._bodies["thermal", change.link.thermal]
        if change.made and first is not second:
            return [self._join(first, second, turns)]
        if not change.made and first is second:
            # the person stays with one of the two, or two people would be one
            self._bodies["thermal", first.members.pop("thermal")] = Body({"thermal": change.link.thermal})
        return []

    def _join(self, first: Body, second: Body, turns: list[Turn]) -> Body:
        """One body of two; of two people stays who was not just met, else who was met first."""
        kept, gone = sorted((first, second), key=lambda body: (body.person is None, body.new, body.person or 0))
        if kept.person is not None and gone.person not in (None, kept.person) and gone.new:
            turns.append(self._merge(gone, kept.person, None))
        kept.members |= gone.members
        for member in gone.members.items():
            self._bodies[member] = kept
        return kept

    def _evidence(self, body: Body, apart: Collection[tuple[int, int]]) -> dict[int, Evidence]:
        """For being each of the people in the gallery whom it may be."""
        barred = {other.person for other in self._bodies.values() if self._are_two(body, other, apart)}
        if body.new:
            barred.add(body.person)  # everyone is like themselves
        found: dict[int, Evidence] = {}
        for modality, look in self._looks(body).items():
            own: dict[int, Evidence] = {}
            other = other_modality(modality)
            # the own modality comes last and has the last word
            for kind, thresholds in ((other, self._rule.across), (modality, self._rule.within[modality])):
                for candidate in self._gallery.search(look.vector[None], kind, most=CANDIDATES)[0]:
                    own[candidate.person] = Evidence(
                        candidate.score, kind, candidate.score - thresholds.accept, candidate.score - thresholds.unknown
                    )
            for person, evidence in own.items():
                if person not in barred and (person not in found or evidence.surplus > found[person].surplus):
                    found[person] = evidence
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

    def _verdicts(self, evidence: list[dict[int, Evidence]]) -> list[tuple[Verdict, Evidence | None]]:
        """Of each body: who it is, by the best one-to-one choice and only with a margin, and by what."""
        people = sorted({person for row in evidence for person in row})
        gains = np.zeros((len(evidence), len(people)))
        for i, row in enumerate(evidence):
            for person, found in row.items():
                # a gain of nothing is worth as much as no choice, so nobody is forced
                gains[i, people.index(person)] = max(found.surplus + 1e-6, 0.0)
        rows, columns = linear_sum_assignment(gains, maximize=True)
        chosen = {int(i): people[j] for i, j in zip(rows, columns, strict=True) if gains[i, j]}
        verdicts: list[tuple[Verdict, Evidence | None]] = []
        for i, row in enumerate(evidence):
            best = row.get(chosen.get(i, 0))
            second = max((found.surplus for person, found in row.items() if person != chosen.get(i)), default=-np.inf)
            if best is not None and best.surplus - second >= self._rule.margin:
                verdicts.append((chosen[i], best))
            else:
                verdicts.append(("unsure" if any(found.doubt >= 0 for found in row.values()) else "newcomer", None))
        return verdicts

    def _decide(self, body: Body, found: Evidence | None, turns: list[Turn]) -> None:
        """Act on what a body has heard."""
        verdict, sure = body.verdict, body.votes >= VOTES_TO_NAME
        linked = len(body.members) == len(MODALITIES)
        if verdict == body.person and found is not None:
            body.surplus = found.surplus
        elif isinstance(verdict, int) and (sure or (linked and body.person is None)):
            turns.append(self._merge(body, verdict, found) if body.new else self._take(body, verdict, found))
        elif body.person is None and (linked or (verdict == "newcomer" and body.votes >= VOTES_FOR_NEWCOMER)):
            with contextlib.suppress(UserError):  # as above
                turns.append(self._greet(body, self._looks(body)))
        elif body.person is not None and not body.new and verdict == "newcomer" and sure:
            turns.append(Turn("unidentified", body.person, dict(body.members)))
            body.person = None

    def _take(self, body: Body, person: int, found: Evidence | None) -> Turn:
        """Recognise someone."""
        body.person, body.new, body.surplus = person, False, found.surplus if found else 0.0
        return Turn("identified", person, dict(body.members), found)

    def _settle(self) -> list[Turn]:
        """Let nobody be two bodies that are there at once: a couple outweighs a track, then the better likeness counts.

        Links and recognition may disagree, and a track that was lost may come back after another took its place.
        """
        turns = []
        bodies = sorted(dict.fromkeys(self._bodies.values()), key=lambda body: (-len(body.members), -body.surplus))
        for place, body in enumerate(bodies):
            better = [other for other in bodies[:place] if other.person == body.person]
            if body.person is not None and any(self._are_two(body, other, ()) for other in better):
                turns.append(Turn("unidentified", body.person, dict(body.members)))
                body.person, body.new, body.votes = None, False, 0
        return turns

    def _merge(self, body: Body, person: int, found: Evidence | None) -> Turn:
        """Someone just met is someone known."""
        gone = body.person or person
        with contextlib.suppress(KeyError):
            self._gallery.merge(person, gone)
        self._take(body, person, found)
        return Turn("person_merged", person, dict(body.members), found, gone)

    def _greet(self, body: Body, looks: Mapping[Modality, Look]) -> Turn:
        """Make a newcomer a person of the gallery."""
        (first, look), *others = looks.items()
        person = self._remember(None, first, look)
        for modality, look in others:
            self._remember(person, modality, look)
        body.person, body.new = person, True
        return Turn("person_new", person, dict(body.members))

    def _remember(self, person: int | None, modality: Modality, look: Look) -> int:
        return self._gallery.add(Prototype(modality, look.vector, look.quality, self._epoch + look.seen), person)
