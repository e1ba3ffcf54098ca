"""Who of the gallery somebody may be by their looks, and who they are then said to be.

Evidence for someone is the cosine of a track with their prototypes, less the least cosine at which two are one (the
surplus). Prototypes of the track's own modality outweigh those of the other: within one modality people are told apart
better. Shapes: D the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from edge_reid.gallery.base import Gallery
from edge_reid.matching_rule import MatchingRule
from edge_reid.people.bodies import Evidence, Look, Verdict
from edge_reid.types import Modality, other_modality

CANDIDATES = 8
"""People of the gallery who are looked at for a track: those beyond are less alike than all of these."""


def evidence_of(looks: Mapping[Modality, Look], gallery: Gallery[int], rule: MatchingRule) -> dict[int, Evidence]:
    """For being each of the people in the gallery, by the track that speaks for them most."""
    found: dict[int, Evidence] = {}
    for modality, look in looks.items():
        own: dict[int, Evidence] = {}
        other = other_modality(modality)
        # the own modality comes last and has the last word
        for kind, thresholds in ((other, rule.across), (modality, rule.within[modality])):
            for candidate in gallery.search(look.vector[None], kind, most=CANDIDATES)[0]:
                own[candidate.person] = Evidence(
                    candidate.score, kind, candidate.score - thresholds.accept, candidate.score - thresholds.unknown
                )
        for person, evidence in own.items():
            if person not in found or evidence.surplus > found[person].surplus:
                found[person] = evidence
    return found


def verdicts(evidence: Sequence[Mapping[int, Evidence]], margin: float) -> list[tuple[Verdict, Evidence | None]]:
    """Of each body: who it is, by the best one-to-one choice and only with a margin, and by what."""
    people = sorted({person for row in evidence for person in row})
    gains = np.zeros((len(evidence), len(people)))
    for i, row in enumerate(evidence):
        for person, found in row.items():
            # a gain of nothing is worth as much as no choice, so nobody is forced
            gains[i, people.index(person)] = max(found.surplus + 1e-6, 0.0)
    rows, columns = linear_sum_assignment(gains, maximize=True)
    chosen = {int(i): people[j] for i, j in zip(rows, columns, strict=True) if gains[i, j]}
    told: list[tuple[Verdict, Evidence | None]] = []
    for i, row in enumerate(evidence):
        best = row.get(chosen.get(i, 0))
        second = max((found.surplus for person, found in row.items() if person != chosen.get(i)), default=-np.inf)
        if best is not None and best.surplus - second >= margin:
            told.append((chosen[i], best))
        else:
            told.append(("unsure" if any(found.doubt >= 0 for found in row.values()) else "newcomer", None))
    return told
