from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_reid.errors import UserError
from edge_reid.evaluation import Embedded
from edge_reid.evaluation.couples import Comparison, Seen
from edge_reid.evaluation.open_set import KINDS, Aim, Found, calibrate, choose, least_margin, measure, search
from edge_reid.matching_rule import MatchingRule
from edge_reid.types import MODALITIES, Modality, Sample


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def drawn(
    people: int, *, seed: int = 0, pictures: int = 4, cameras: int = 2, shift: float = 0.0
) -> dict[Modality, Embedded]:
    """People as points in a space where each picture is a bit off; `shift` moves each modality its own way."""
    random = np.random.default_rng(seed)
    looks = random.normal(size=(people, 16)).repeat(pictures, axis=0)
    embedded: dict[Modality, Embedded] = {}
    for number, modality in enumerate(MODALITIES):
        samples = [
            Sample(Path(f"{row:05d}.png"), row // pictures, 1 + number * cameras + row % cameras, modality)
            for row in range(people * pictures)
        ]
        away = shift * np.random.default_rng(number).normal(size=16)
        embedded[modality] = Embedded(samples, unit(looks + 0.6 * random.normal(size=looks.shape) + away))
    return embedded


def made(embedded: Mapping[Modality, Embedded], aim: Aim) -> MatchingRule:
    return calibrate(embedded, aim, engines={}, data="people").model_copy(update={"date": ""})


@pytest.mark.parametrize("seed", range(20))
def test_thresholds_are_those_that_trying_every_cosine_finds(seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = np.round(random.uniform(-1, 1, 400), 2 if seed % 2 else 9).astype(np.float32)  # with and without ties
    genuine, impostors = scores[: 1 + int(random.integers(300))], scores[-int(random.integers(5, 300)) :]
    rate, comparisons = float(random.uniform(0.01, 0.6)), int(random.integers(1, 12))
    found = choose(genuine, impostors, rate, comparisons)

    def passing(cosine: float, share: float) -> bool:
        return sum(float(score) >= cosine for score in impostors) <= share * len(impostors)

    def least(share: float) -> float:
        """The least cosine of all there can be: a value itself or the next number above one."""
        above = [float(np.nextafter(score, np.float32(2))) for score in impostors]
        return min(cosine for cosine in above if passing(cosine, share))

    assert found.accept == least(rate / comparisons)
    rare = [float(g) for g in genuine if sum(float(h) < float(g) for h in genuine) <= 0.05 * len(genuine)]
    assert found.unknown == min(max(rare), least(rate))


def test_thresholds_by_hand() -> None:
    impostors = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    genuine = np.array([0.25, *[0.9] * 39], np.float32)  # two of forty may be lost
    just_above = float(np.nextafter(np.float32(0.3), np.float32(1)))
    assert choose(genuine, impostors, 0.25).accept == just_above, "one of four passes"
    assert choose(genuine, impostors, 0.25).unknown == just_above, "people who are told apart leave nothing unsure"
    strict = choose(genuine, impostors, 0.25, comparisons=2)
    assert strict.accept == float(np.nextafter(np.float32(0.4), np.float32(1))), "none may pass"
    assert strict.unknown == just_above, "what one comparison would accept is unsure among several"
    assert choose(genuine[:5], impostors, 0.25).unknown == 0.25, "one of five is too many to lose"


def test_tracks_are_means_of_successive_pictures_of_one_person_by_one_camera() -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(9, 4)))
    cameras, people = [1, 1, 1, 1, 1, 2, 1, 2, 2], [7, 7, 7, 7, 7, 7, 8, 8, 8]
    names = [f"{row}.png" for row in range(9)]
    samples = [
        Sample(Path(name), who, camera, "visible") for name, who, camera in zip(names, people, cameras, strict=True)
    ]
    order = np.random.default_rng(1).permutation(9)
    tracks = Seen.of(Embedded([samples[row] for row in order], vectors[order])).pooled(2)
    groups = [[0, 1], [2, 3], [5], [6], [7, 8]]  # the fifth picture of the first camera makes no track
    assert tracks.identities.tolist() == [7, 7, 7, 8, 8]
    assert tracks.cameras.tolist() == [1, 1, 2, 1, 2]
    np.testing.assert_allclose(tracks.vectors, unit(np.stack([vectors[group].mean(axis=0) for group in groups])))


@pytest.mark.parametrize("pictures", [2, 4, 8], ids=["short tracks", "one track per camera", "two tracks per camera"])
def test_couples_are_those_that_a_loop_finds(pictures: int) -> None:
    embedded = drawn(6, pictures=pictures)
    tracks = {modality: Seen.of(embedded[modality]).pooled(2) for modality in MODALITIES}
    tracks["visible"] = tracks["visible"].only(np.arange(1, 6))  # one person is seen by one modality only
    for sides in set(KINDS.values()):
        rows, columns = tracks[sides[0]], tracks[sides[1]]
        compared = Comparison.of(rows, columns)
        genuine: list[object] = []
        impostors: list[object] = []
        pairs: set[frozenset[int]] = set()
        people: set[frozenset[int]] = set()
        for i, j in product(range(len(rows.identities)), range(len(columns.identities))):
            if sides[0] == sides[1] and (i == j or (pictures > 4 and rows.cameras[i] != columns.cameras[j])):
                continue
            score = pytest.approx(float(rows.vectors[i] @ columns.vectors[j]), abs=1e-6)
            couple = (int(rows.identities[i]), int(columns.identities[j]))
            (genuine if couple[0] == couple[1] else impostors).append(score)
            (people if couple[0] == couple[1] else pairs).add(frozenset(couple))
        assert compared.scores[compared.genuine].tolist() == genuine
        assert compared.scores[compared.impostor].tolist() == impostors
        assert (compared.pairs, compared.people) == (len(pairs), len(people))


def test_the_interval_is_wilsons() -> None:
    """By the formula of E. B. Wilson (1927)."""
    people = 200
    random = np.random.default_rng(0)
    seen = Seen(np.arange(people), np.zeros(people, int), unit(random.normal(size=(people, 8))))
    compared = Comparison.of(seen, Seen(seen.identities, seen.cameras, seen.vectors))
    measured = measure(compared, [], 0.7, 0.0)
    n, z = measured.pairs, 1.959963984540054
    share = round(measured.false_accept_rate * n) / n
    middle, half = share + z**2 / (2 * n), z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    assert n == people * (people - 1) // 2
    assert 0.01 < share < 0.1
    assert measured.interval == pytest.approx(((middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)))
    assert measured.interval[0] < measured.false_accept_rate < measured.interval[1]


def test_a_search_meets_each_of_the_people_once() -> None:
    tracks = Seen.of(drawn(7)["visible"]).pooled(1)
    compared = Comparison.of(tracks, replace(tracks))  # another modality, of which everything is the same
    found = search(compared, people=6)
    assert len(found.own) == len(tracks.identities)
    for row, (own, others, strangers) in enumerate(zip(found.own, found.others, found.strangers, strict=True)):
        assert own in compared.scores[row][compared.genuine[row]]
        by_person = {who: compared.scores[row][tracks.identities == who] for who in range(7)}
        del by_person[int(tracks.identities[row])]
        assert strangers[0] >= max(scores.min() for scores in by_person.values())
        assert strangers[0] <= max(scores.max() for scores in by_person.values())
        assert [sum(score in scores for scores in by_person.values()) for score in strangers] == [1, 1]
        assert others[0] <= strangers[0] and others[1] <= strangers[1]
    assert len(search(compared, people=7).own) == 0, "only six others"
    assert (search(compared, people=1).others == -np.inf).all()


def test_the_margin_is_the_least_that_keeps_wrong_names_rare() -> None:
    # ten searches of which three are wrong, ahead by 0.3, 0.2 and 0.1, and one is not accepted
    own = np.array([0.5, 0.5, 0.5, 0.2, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9], np.float32)
    best = np.array([0.8, 0.7, 0.6, 0.35, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6], np.float32)
    others = np.stack([best, np.full(10, 0.1, np.float32)], axis=1)
    found = Found(10, own, others, others)

    def misnamed(margin: float) -> int:
        second = np.maximum(own, others[:, 1])
        return int(((best > own) & (best >= 0.4) & (best - second >= margin)).sum())

    for rate, lead in ((0.05, 0.3), (0.1, 0.2), (0.25, 0.1)):
        margin = least_margin(found, 0.4, rate)
        assert margin == pytest.approx(lead, abs=1e-6)
        assert misnamed(margin) <= rate * 10 < misnamed(margin - 1e-5)
    assert least_margin(found, 0.4, 0.3) == 0.0


def test_a_rule_keeps_its_aim_and_holds_for_other_people() -> None:
    aim = Aim(false_accept_rate=0.05, people=5, crops=2)
    rule, fresh = made(drawn(150), aim), drawn(150, seed=1)
    tracks = {modality: Seen.of(fresh[modality]).pooled(aim.crops) for modality in MODALITIES}
    for kind, sides in KINDS.items():
        own, wanted = rule.measured[kind], 0.05 / (1 if kind == "between" else 5)
        assert 0.8 * wanted < own.false_accept_rate <= wanted
        compared = Comparison.of(*(tracks[side] for side in sides))
        other = measure(compared, [search(compared, 5)], rule.thresholds(kind).accept, rule.margin)
        assert 0.5 * wanted < other.false_accept_rate < 1.6 * wanted
        assert other.searches[0].misnamed < 1.6 * 0.05
        if kind != "between":
            assert other.searches[0].strangers_named < 1.6 * 0.05
    assert [one.people for one in rule.measured["across"].searches] == [5, 25]
    assert min(one.true_accept_rate for one in rule.measured.values()) > 0.9


def test_the_order_of_pictures_does_not_matter() -> None:
    embedded = drawn(60)
    order = {modality: np.random.default_rng(3).permutation(len(embedded[modality].samples)) for modality in MODALITIES}
    shuffled = {
        modality: Embedded([one.samples[row] for row in order[modality]], one.embeddings[order[modality]])
        for modality, one in embedded.items()
    }
    aim = Aim(0.05, 5, 2)
    assert made(shuffled, aim) == made(embedded, aim)


def test_means_are_subtracted_only_where_that_helps() -> None:
    aim = Aim(0.05, 5, 2)
    assert made(drawn(100), aim).means is None
    shifted = drawn(100, shift=1.5)
    rule = made(shifted, aim)
    assert rule.means is not None
    assert rule.means_gain[0] > 0.05
    for modality in MODALITIES:
        np.testing.assert_allclose(rule.means[modality], shifted[modality].embeddings.mean(axis=0), atol=1e-6)
    centered = {
        modality: replace(one, embeddings=rule.centered(one.embeddings, modality)) for modality, one in shifted.items()
    }
    again = made(centered, aim)
    assert again.between.accept == pytest.approx(rule.between.accept, abs=0.02)
    assert made(drawn(40, shift=1.5), Aim(0.2, 2, 2)).means is None, "forty people say nothing about a mean"


def test_what_means_bring_is_measured_on_people_who_did_not_make_them() -> None:
    shifted = drawn(60, shift=0.8)
    whose = np.arange(60).repeat(4)

    def accepted(people: list[int], means: Mapping[Modality, NDArray[np.float32]]) -> list[float]:
        """Tracks of two pictures each, one person after the other, camera by camera."""
        tracks: dict[Modality, list[NDArray[np.float64]]] = {}
        for modality, one in shifted.items():
            vectors = unit(one.embeddings - means[modality]).reshape(60, 2, 2, -1)[people]  # picture, camera
            tracks[modality] = [unit(person.mean(axis=0)).astype(float) for person in vectors]
        couples = [[v @ t.T for t in tracks["thermal"]] for v in tracks["visible"]]
        impostors = sorted(x for i, row in enumerate(couples) for j, xs in enumerate(row) if i != j for x in xs.flat)
        least = impostors[-int(0.05 * len(impostors)) - 1]
        return [float((couples[i][i] > least + 1e-7).mean()) for i in range(len(people))]

    gains: list[float] = []
    for half in range(2):
        makers, judged = list(range(half, 60, 2)), list(range(1 - half, 60, 2))
        means = {m: one.embeddings[np.isin(whose, makers)].mean(axis=0) for m, one in shifted.items()}
        nothing = {m: np.zeros(16, np.float32) for m in MODALITIES}
        gains += [b - a for a, b in zip(accepted(judged, nothing), accepted(judged, means), strict=True)]
    gain, error = made(shifted, Aim(0.05, 1, 2)).means_gain
    assert gain == pytest.approx(np.mean(gains), abs=1e-9)
    assert error == pytest.approx(np.std(gains, ddof=1) / np.sqrt(60), abs=1e-9)


@pytest.mark.parametrize(
    ("people", "aim", "message"),
    [
        (20, Aim(0.01, 1), r"people: 190 couples of two people, visible with thermal, cannot show a rate of 0\.01; "
         r"give more test people, or pass --false-accepts 0\.016$"),
        (30, Aim(0.01, 10), r"435 couples .* rate of 0\.001; give .* --false-accepts 0\.069, or a smaller --people"),
        (4, Aim(0.5, 10), r"6 couples .* cannot show a rate of 0\.05; give more test people, or a smaller --people"),
    ],
    ids=["couples", "searches", "no rate would do"],
)  # fmt: skip
def test_a_rate_that_the_people_cannot_show_is_refused(people: int, aim: Aim, message: str) -> None:
    with pytest.raises(UserError, match=message):
        made(drawn(people), aim)


def test_people_whom_one_modality_shows_are_refused() -> None:
    embedded = drawn(20)
    strangers = [replace(sample, identity=sample.identity + 100) for sample in embedded["thermal"].samples]
    apart = {**embedded, "thermal": Embedded(strangers, embedded["thermal"].embeddings)}
    with pytest.raises(UserError, match="nobody makes a couple of two tracks, visible with thermal; give people whom"):
        made(apart, Aim(0.5, 1))


def test_people_who_make_one_track_each_are_refused() -> None:
    with pytest.raises(UserError, match=r"two tracks, visible with visible; .* or pass a smaller --crops than 4"):
        made(drawn(20, pictures=4, cameras=1), Aim(0.5, 1))


@pytest.mark.parametrize("aim", [(0.0, 10, 4), (1.0, 10, 4), (float("nan"), 10, 4), (0.1, 0, 4), (0.1, 10, 0)])
def test_an_aim_that_means_nothing_is_refused(aim: tuple[float, int, int]) -> None:
    with pytest.raises(UserError, match=r"^--(false-accepts|people)"):
        Aim(*aim)
