from __future__ import annotations

import sqlite3
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from strangers import DIMENSION, NOW, SPACE, gallery, look, unit

from edge_reid.errors import UserError
from edge_reid.gallery.base import Gallery
from edge_reid.gallery.numbers import RESERVED
from edge_reid.gallery.records import DAY, Keep, Person
from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.gallery.store import COMMIT_SECONDS


def test_it_is_a_gallery(random: np.random.Generator) -> None:
    with gallery(None) as opened:
        people: Gallery = opened
        number = people.add(look(random))
        assert people.count() == 1
        people.forget(number)
        assert people.count() == 0


def test_people_are_found_by_their_best_prototype_also_after_reopening(random: np.random.Generator, path: Path) -> None:
    front, back, other = look(random), look(random), look(random)
    with gallery(path) as people:
        first = people.add(front)
        assert people.add(back, first) == first
        second = people.add(other)
    with gallery(path) as people:
        for prototype, number in ((front, first), (back, first), (other, second)):
            best, worse = people.search(prototype.vector[None], "visible")[0]
            assert (best.person, best.score) == (number, pytest.approx(1.0))
            assert worse.score < best.score
        assert people.search(front.vector[None], "thermal") == [[]]
        assert len(people.search(front.vector[None], "visible", most=1)[0]) == 1


def test_only_the_owner_can_read_the_files(random: np.random.Generator, path: Path) -> None:
    with gallery(path) as people:
        people.add(look(random))
        people.flush()
        assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    path.chmod(0o644)
    with gallery(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_worst_prototypes_go(random: np.random.Generator, path: Path) -> None:
    looks = [look(random, quality=quality) for quality in (0.5, 0.1, 0.9, 0.3)]
    with gallery(path, keep=Keep(prototypes=2)) as people:
        number = people.add(looks[0])
        for prototype in looks[1:]:
            people.add(prototype, number)
        people.add(look(random, "thermal", quality=0.01), number)
        assert people.person(number).prototypes == {"visible": 2, "thermal": 1}
    with gallery(path) as people:
        scores = [people.search(prototype.vector[None], "visible")[0][0].score for prototype in looks]
    assert [score > 0.999 for score in scores] == [True, False, True, False]


def test_a_number_is_never_given_twice(random: np.random.Generator, path: Path) -> None:
    given = []
    for _ in range(3):
        with gallery(path) as people:
            given += [people.add(look(random)) for _ in range(RESERVED + 3)]
            people.forget(given[-1])
    assert given == list(range(1, 3 * (RESERVED + 3) + 1)), "and none is left out while one program is at it"


def test_two_who_write_at_once_never_give_one_number(random: np.random.Generator, path: Path) -> None:
    with gallery(path) as one, gallery(path) as other:
        given = [people.add(look(random)) for _ in range(2 * RESERVED) for people in (one, other)]
    assert len(set(given)) == len(given)


def test_who_is_gone_is_told_apart_from_nothing(random: np.random.Generator) -> None:
    with gallery(None) as people:
        number = people.add(look(random))
        people.forget(number)
        for action in (
            lambda: people.add(look(random), number),
            lambda: people.forget(number),
            lambda: people.rename(number, "Ada"),
            lambda: people.sighted(number, "visible", 1.0, 2.0),
            lambda: people.person(number),
            lambda: people.merge(number, number + 1),
        ):
            with pytest.raises(KeyError, match=f"person {number}: nobody has this number"):
                action()


@pytest.mark.parametrize(
    "wrong",
    [
        {"vector": np.ones(DIMENSION, np.float32)},
        {"vector": np.full(DIMENSION, np.nan, np.float32)},
        {"vector": np.eye(1, DIMENSION + 1, dtype=np.float32)[0]},
        {"vector": np.eye(1, DIMENSION)[0]},  # float64
        {"quality": 0.0},
        {"quality": float("inf")},
        {"time": -1.0},
        {"modality": "sonar"},
    ],
    ids=str,
)
def test_what_is_no_prototype_is_not_taken(random: np.random.Generator, wrong: dict[str, object]) -> None:
    with gallery(None) as people, pytest.raises(ValueError, match=r"vector|quality"):
        people.add(replace(look(random), **wrong))  # type: ignore[arg-type]


def test_vectors_of_another_length_are_not_searched() -> None:
    with gallery(None) as people, pytest.raises(ValueError, match=f"those of {DIMENSION} numbers"):
        people.search(np.zeros((1, 3), np.float32), "visible")


def test_enrolling_makes_a_person_or_adds_to_who_has_the_name(random: np.random.Generator, path: Path) -> None:
    with gallery(path) as people:
        ada = people.enrol("  Ada ", [look(random), look(random, "thermal")])
        assert people.enrol("Ada", [look(random)]) == ada
        bob = people.enrol("Bob", [look(random)])
    with gallery(path) as people:
        assert people.names() == {ada: "Ada", bob: "Bob"}
        assert people.person(ada) == Person(ada, "Ada", NOW, NOW, NOW + 30 * DAY, {"visible": 2, "thermal": 1})


def test_names_are_changed_and_never_shared(random: np.random.Generator, path: Path) -> None:
    with gallery(path) as people:
        ada, stranger = people.enrol("Ada", [look(random)]), people.add(look(random))
        with pytest.raises(UserError, match="name 'Ada': person 1 has it"):
            people.rename(stranger, "Ada")
        people.rename(ada, "Ada L.")
        people.rename(stranger, "Ada")
        people.rename(ada, None)
    with gallery(path) as people:
        assert people.names() == {stranger: "Ada"}


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "two\nlines", "\x1b[31mred", "a\u202eb"], ids=ascii)
def test_names_that_cannot_be_printed_are_refused(random: np.random.Generator, name: str) -> None:
    with gallery(None) as people, pytest.raises(UserError, match="printable"):
        people.enrol(name, [look(random)])


def test_sightings_are_told_newest_first_and_grow(random: np.random.Generator, path: Path) -> None:
    with gallery(path) as people:
        one, two = people.add(look(random)), people.add(look(random))
        people.sighted(one, "visible", NOW + 10, NOW + 12)
        people.sighted(two, "thermal", NOW + 11, NOW + 30)
        people.sighted(one, "visible", NOW + 10, NOW + 20)
        people.sighted(one, "visible", NOW + 50, NOW + 60)
        assert (people.person(one).first_seen, people.person(one).last_seen) == (NOW, NOW + 60)
    with gallery(path) as people:
        rows = [(s.person, s.camera, s.began - NOW, s.ended - NOW) for s in people.sightings()]
        assert rows == [(one, "visible", 50, 60), (two, "thermal", 11, 30), (one, "visible", 10, 20)]
        assert [s.ended - NOW for s in people.sightings(one, most=1)] == [60]
        assert [s.ended - NOW for s in people.sightings(since=NOW + 30)] == [60, 30]
        assert people.person(one).last_seen == NOW + 60
        with pytest.raises(ValueError, match="wrong order"):
            people.sighted(one, "visible", 2.0, 1.0)


def test_merging_leaves_one_person_with_the_best_of_both(random: np.random.Generator, path: Path) -> None:
    looks = [look(random, quality=quality) for quality in (0.1, 0.2, 0.3, 0.4)]
    with gallery(path, keep=Keep(prototypes=3)) as people:
        kept, gone = people.add(looks[0]), people.enrol("Ada", looks[1:])
        people.sighted(kept, "visible", NOW + 1, NOW + 2)
        people.sighted(gone, "visible", NOW + 1, NOW + 2)
        people.sighted(gone, "thermal", NOW + 5, NOW + 6)
        people.merge(kept, gone)
    with gallery(path) as people:
        assert people.people() == [Person(kept, "Ada", NOW, NOW + 6, NOW + 6 + 30 * DAY, {"visible": 3})]
        assert [people.search(one.vector[None], "visible")[0][0].score > 0.999 for one in looks] == [False] + 3 * [True]
        assert [(s.person, s.camera) for s in people.sightings()] == [(kept, "thermal"), (kept, "visible")]
        assert ("merge", gone, 3) in [(access.action, access.person, access.count) for access in people.audit()]
        with pytest.raises(ValueError, match="merged with themselves"):
            people.merge(kept, kept)


def test_another_model_is_not_mixed_in(random: np.random.Generator, path: Path) -> None:
    with gallery(path) as people:
        people.add(look(random))
    for other in ({"space": "fedcba9876543210"}, {"dimension": DIMENSION + 1}):
        with pytest.raises(UserError, match=f"{path}: made with model {SPACE}.*use the bundle it was made with"):
            SqliteGallery(path, **({"space": SPACE, "dimension": DIMENSION} | other))  # type: ignore[arg-type]
    with gallery(path, space=None, dimension=None) as people:
        assert (people.space, people.dimension, people.count()) == (SPACE, DIMENSION, 1)


def test_while_another_holds_the_file_nobody_waits_and_nothing_is_lost(random: np.random.Generator, path: Path) -> None:
    with gallery(path) as people:
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        prototype = look(random)
        number = people.add(prototype)
        people.sighted(number, "visible", NOW, NOW + 1)
        gone = people.add(look(random))
        people.forget(gone)
        assert [person.number for person in people.people()] == [number]
        assert people.search(prototype.vector[None], "visible")[0][0].person == number
        assert blocker.execute("SELECT count(*) FROM people").fetchone() == (0,)
        blocker.execute("ROLLBACK")
        people.flush()
        assert blocker.execute("SELECT number FROM people").fetchall() == [(number,)]
        blocker.close()


def test_all_writes_of_a_moment_are_one_transaction(random: np.random.Generator, path: Path) -> None:
    with gallery(path) as people:
        other = sqlite3.connect(path)
        people.flush()
        before = other.execute("PRAGMA data_version").fetchone()[0]
        for _ in range(20):
            people.add(look(random))
        people.flush()
        assert other.execute("SELECT count(*) FROM people").fetchone() == (20,)
        assert other.execute("PRAGMA data_version").fetchone()[0] == before + 1
        other.close()
    assert COMMIT_SECONDS < 1


@pytest.mark.parametrize("seed", range(3))
def test_memory_and_file_agree_with_a_plain_list_whatever_happens(seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    path = tmp_path / "g"
    expected: dict[int, list[tuple[str, float, np.ndarray]]] = {}
    for _ in range(4):
        with gallery(path, keep=Keep(prototypes=4)) as people:
            for _ in range(60):
                modality = "visible" if random.random() < 0.5 else "thermal"
                one = look(random, modality, quality=float(random.random()) + 0.01)
                row, action = (modality, one.quality, one.vector), random.random()
                if not expected or action < 0.3:
                    expected[people.add(one)] = [row]
                    continue
                person = int(random.choice(list(expected)))
                if action < 0.8:
                    people.add(one, person)
                    expected[person].append(row)
                elif action < 0.9 or len(expected) == 1:
                    people.forget(person)
                    del expected[person]
                else:
                    other = int(random.choice([number for number in expected if number != person]))
                    people.merge(person, other)
                    expected[person] += expected.pop(other)
                for person, rows in expected.items():
                    expected[person] = [
                        row
                        for kind in ("visible", "thermal")
                        for row in sorted((row for row in rows if row[0] == kind), key=lambda row: -row[1])[:4]
                    ]
        with gallery(path) as people:
            assert {person.number for person in people.people()} == expected.keys()
            for kind in ("visible", "thermal"):
                query = unit(random)
                best = {
                    person: max(float(row[2] @ query[0]) for row in rows if row[0] == kind)
                    for person, rows in expected.items()
                    if any(row[0] == kind for row in rows)
                }
                found = people.search(query, kind, most=1000)[0]  # type: ignore[arg-type]
                assert {one.person: one.score for one in found} == pytest.approx(best, abs=1e-6)
