"""From which cosine on tracks are one person: chosen on people whom no training saw, for a rate of false accepts.

Shapes: S searches, D the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from edge_reid.errors import UserError
from edge_reid.evaluation.couples import Comparison, Seen
from edge_reid.evaluation.protocols import Embedded
from edge_reid.matching_rule import Kind, MatchingRule, Measured, Searches, Thresholds
from edge_reid.types import MODALITIES, Modality

RARELY = 0.05
"""Share of genuine couples that may fall below `Thresholds.unknown`."""

MORE_PEOPLE = 5
"""How many times as many people a search is also measured with."""

PEOPLE_FOR_MEANS = 50
"""With fewer, nobody can say whether a mean helps."""

KINDS: dict[Kind, tuple[Modality, Modality]] = {
    "between": ("visible", "thermal"),
    "across": ("visible", "thermal"),
    "visible": ("visible", "visible"),
    "thermal": ("thermal", "thermal"),
}
"""What is compared with what."""


@dataclass(frozen=True)
class Aim:
    """What a rule is to keep."""

    false_accept_rate: float = 0.01
    """Of couples in view, and of strangers who are searched among `people`."""
    people: int = 10
    """Who are remembered."""
    crops: int = 4
    """Pictures pooled per track."""

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if not 0.0 < self.false_accept_rate < 1.0:
            raise UserError(f"--false-accepts {self.false_accept_rate:g}: needs a rate above 0 and below 1")
        if self.people < 1 or self.crops < 1:
            raise UserError("--people and --crops need at least 1")

    def comparisons(self, kind: Kind) -> int:
        """With how many people a track is compared before it is accepted or not."""
        return 1 if kind == "between" else self.people


class Found(NamedTuple):
    """What searches for someone have found."""

    people: int
    """Among whom."""
    own: NDArray[np.float32]
    """`(S,)` the cosine with who it is."""
    others: NDArray[np.float32]
    """`(S, 2)` the best two with the `people - 1` others, when who it is is there; -inf for nobody."""
    strangers: NDArray[np.float32]
    """`(S, 2)` the best two with `people` others, when who it is is not there."""


def calibrate(
    embedded: Mapping[Modality, Embedded], aim: Aim, *, engines: Mapping[Modality, str], data: str
) -> MatchingRule:
    """The rule that keeps an aim, and what it does to the people that it was chosen on.

    Each kind of couple has its thresholds from `choose`. The margin is the least with which, of searches among
    `Aim.people` for someone who is there, no more than the rate asked for name someone else.

    Args:
        embedded: the pictures of held-out people, both modalities, in any order.
        aim: what to keep.
        engines: what computed the embeddings, to be noted.
        data: what the pictures are called, to be noted.

    Raises:
        UserError: there are too few people or pictures to show such a rate.
    """
    pictures = {modality: Seen.of(embedded[modality]) for modality in MODALITIES}
    means, gain = helpful_means(pictures, aim)
    if means:
        pictures = {modality: pictures[modality].centered(means[modality]) for modality in MODALITIES}
    tracks = {modality: pictures[modality].pooled(aim.crops) for modality in MODALITIES}
    compared = {sides: Comparison.of(tracks[sides[0]], tracks[sides[1]]) for sides in set(KINDS.values())}
    thresholds = {kind: _thresholds(kind, compared[sides], aim, data) for kind, sides in KINDS.items()}
    sizes = (aim.people, MORE_PEOPLE * aim.people)
    found = {sides: [search(one, size) for size in sizes] for sides, one in compared.items()}
    margin = max(
        least_margin(found[sides][0], thresholds[kind].accept, aim.false_accept_rate) for kind, sides in KINDS.items()
    )
    return MatchingRule(
        between=thresholds["between"],
        across=thresholds["across"],
        within={modality: thresholds[modality] for modality in MODALITIES},
        margin=margin,
        means={modality: mean.tolist() for modality, mean in means.items()} if means else None,
        means_gain=gain,
        crops=aim.crops,
        false_accept_rate=aim.false_accept_rate,
        people=aim.people,
        measured={
            kind: measure(compared[sides], found[sides], thresholds[kind].accept, margin)
            for kind, sides in KINDS.items()
        },
        engines=dict(engines),
        data=f"{data}: {_counts(pictures)}",
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def choose(
    genuine: NDArray[np.float32], impostors: NDArray[np.float32], rate: float, comparisons: int = 1
) -> Thresholds:
    """The thresholds for a rate of false accepts in so many comparisons, each of which may fail as much less.

    `accept` is the least cosine that no more than `rate / comparisons` of the impostors reach. `unknown` is the
    greatest below which no more than `RARELY` of the genuine couples fall, and at most the `accept` of one comparison.
    """
    rare = int(RARELY * len(genuine))
    alone = _out_of_reach(impostors, int(rate * len(impostors)))
    return Thresholds(
        accept=_out_of_reach(impostors, int(rate / comparisons * len(impostors))),
        unknown=min(alone, float(np.partition(genuine, rare)[rare])),
    )


def search(compared: Comparison, people: int) -> Found:
    """Search every track among `people` people drawn at random, one track each: who it is is there, and is not.

    Left out are tracks without another one of the same person, and those compared with fewer people.
    """
    draw = np.random.default_rng(0)
    own: list[float] = []
    others: list[NDArray[np.float32]] = []
    strangers: list[NDArray[np.float32]] = []
    for scores, genuine, impostor in zip(compared.scores, compared.genuine, compared.impostor, strict=True):
        mates, candidates = np.flatnonzero(genuine), draw.permutation(np.flatnonzero(impostor))
        _, first = np.unique(compared.columns[candidates], return_index=True)
        if not len(mates) or len(first) < people:
            continue
        there = scores[candidates[draw.permutation(first)[:people]]]
        own.append(float(scores[draw.choice(mates)]))
        others.append(_best_two(there[1:]))
        strangers.append(_best_two(there))
    pairs = (len(own), 2)
    return Found(
        people,
        np.array(own, np.float32),
        np.array(others, np.float32).reshape(pairs),
        np.array(strangers, np.float32).reshape(pairs),
    )


def least_margin(found: Found, accept: float, rate: float) -> float:
    """The least cosine by which the best must exceed the second so that no more than `rate` of searches misname."""
    best, second = found.others.T
    wrong = best >= np.maximum(found.own, np.float32(accept))
    return _out_of_reach((best - np.maximum(found.own, second))[wrong], int(rate * len(best)))


def measure(compared: Comparison, found: list[Found], accept: float, margin: float) -> Measured:
    """What a threshold and a margin do to couples, and to the searches that there are."""
    genuine, impostors = compared.scores[compared.genuine], compared.scores[compared.impostor]
    passed, pairs = float((impostors >= accept).mean()), compared.pairs
    interval = binomtest(round(passed * pairs), pairs).proportion_ci(method="wilson")
    return Measured(
        true_accept_rate=float((genuine >= accept).mean()),
        false_accept_rate=passed,
        interval=(float(interval.low), float(interval.high)),
        people=compared.people,
        pairs=pairs,
        searches=[_named(one, accept, margin) for one in found if len(one.own)],
    )


def helpful_means(
    pictures: Mapping[Modality, Seen], aim: Aim
) -> tuple[dict[Modality, NDArray[np.float32]] | None, tuple[float, float]]:
    """The mean `(D,)` of each modality if subtracting it helps, and what it brings with its standard error.

    Half of the people make the means and the other half is compared, then the other way round: how many more genuine
    couples between modalities are accepted at the asked rate, person by person. More than two standard errors help.
    """
    people = np.intersect1d(pictures["visible"].identities, pictures["thermal"].identities)
    if len(people) < PEOPLE_FOR_MEANS:
        return None, (0.0, 0.0)
    gains = []
    for half in range(2):
        plain = {modality: seen.only(people[1 - half :: 2]) for modality, seen in pictures.items()}
        moved = {
            modality: seen.centered(_mean(pictures[modality].only(people[half::2]))) for modality, seen in plain.items()
        }
        gains.append(_accepted(moved, aim) - _accepted(plain, aim))
    each = np.concatenate(gains)
    gain, error = float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each)))
    means = {modality: _mean(seen) for modality, seen in pictures.items()}
    return (means if gain > 2 * error else None), (gain, error)


def _mean(pictures: Seen) -> NDArray[np.float32]:
    return np.asarray(pictures.vectors.mean(axis=0), dtype=np.float32)


def _accepted(pictures: Mapping[Modality, Seen], aim: Aim) -> NDArray[np.float64]:
    """The share of each person's genuine couples between modalities that are accepted."""
    compared = Comparison.of(*(pictures[modality].pooled(aim.crops) for modality in MODALITIES))
    impostors = compared.scores[compared.impostor]
    accept = _out_of_reach(impostors, int(aim.false_accept_rate * len(impostors)))
    _, person = np.unique(compared.rows, return_inverse=True)
    couples = np.bincount(person, weights=compared.genuine.sum(axis=1))
    accepted = np.bincount(person, weights=((compared.scores >= accept) & compared.genuine).sum(axis=1))
    return np.asarray(accepted / couples)


def _named(found: Found, accept: float, margin: float) -> Searches:
    own, (best, second), (stranger, next_one) = found.own, found.others.T, found.strangers.T
    right = (own > best) & (own >= accept) & (own - best >= margin)
    wrong = (own <= best) & (best >= accept) & (best - np.maximum(own, second) >= margin)
    taken = (stranger >= accept) & (stranger - next_one >= margin)
    return Searches(
        people=found.people,
        named=float(right.mean()),
        misnamed=float(wrong.mean()),
        strangers_named=float(taken.mean()),
    )


def _best_two(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """The greatest first, `(2,)`; -inf where there are none."""
    return np.sort(np.concatenate([scores, np.full(2, -np.inf, np.float32)]))[:-3:-1]


def _out_of_reach(values: NDArray[np.float32], most: int) -> float:
    """The least number, 0 where all may, that no more than `most` of the values reach."""
    if len(values) <= most:
        return 0.0
    return float(np.nextafter(np.partition(values, -most - 1)[-most - 1], np.float32(np.inf)))


def _thresholds(kind: Kind, compared: Comparison, aim: Aim, data: str) -> Thresholds:
    """Those of `choose`, if there are couples enough to show the rate."""
    what, pairs, comparisons = " with ".join(KINDS[kind]), compared.pairs, aim.comparisons(kind)
    if not compared.people:
        raise UserError(
            f"{data}: nobody makes a couple of two tracks, {what}; give people whom both modalities show, each camera "
            f"more than once, or pass a smaller --crops than {aim.crops}"
        )
    rate, least = aim.false_accept_rate / comparisons, 3 / max(pairs, 1)
    if rate < least:  # not even if none were accepted would the rate be shown with 95 % confidence
        larger = f", or pass --false-accepts {least * comparisons:.2g}" if least * comparisons < 1 else ""
        fewer = f", or a smaller --people than {aim.people}" if comparisons > 1 else ""
        raise UserError(
            f"{data}: {pairs} couples of two people, {what}, cannot show a rate of {rate:.2g}; give more test people"
            f"{larger}{fewer}"
        )
    genuine, impostors = compared.scores[compared.genuine], compared.scores[compared.impostor]
    return choose(genuine, impostors, aim.false_accept_rate, comparisons)


def _counts(pictures: Mapping[Modality, Seen]) -> str:
    people = {number for seen in pictures.values() for number in seen.identities.tolist()}
    cameras = {number for seen in pictures.values() for number in seen.cameras.tolist()}
    total = sum(len(seen.identities) for seen in pictures.values())
    return f"{len(people)} people, {len(cameras)} cameras, {total} pictures"
