from __future__ import annotations

import numpy as np
import pytest
from strangers import DIMENSION, unit

from edge_reid.gallery.index import BLOCK, Index


def brute_force(rows: dict[int, tuple[int, np.ndarray]], query: np.ndarray, most: int) -> list[tuple[int, float]]:
    best: dict[int, float] = {}
    for person, vector in rows.values():
        best[person] = max(best.get(person, -2.0), float(vector.astype(np.float64) @ query.astype(np.float64)))
    return sorted(best.items(), key=lambda item: -item[1])[:most]


@pytest.mark.parametrize("seed", range(4))
def test_searches_find_what_brute_force_finds_whatever_came_and_went(seed: int) -> None:
    random = np.random.default_rng(seed)
    index, rows = Index(DIMENSION), {}
    people = int(random.integers(1, 300))
    for number in range(600):
        if rows and random.random() < 0.3:
            gone = int(random.choice(list(rows)))
            index.remove(gone)
            del rows[gone]
        else:
            rows[number] = (int(random.integers(1, people + 1)), unit(random)[0])
            index.add(number, *rows[number])
        if rows and random.random() < 0.1:
            moved = int(random.choice(list(rows)))
            rows[moved] = (int(random.integers(1, people + 1)), rows[moved][1])
            index.give(moved, rows[moved][0])
    queries = unit(random, 5)
    for most in (1, 3, 50, 1000):
        for query, found in zip(queries, index.search(queries, most), strict=True):
            expected = brute_force(rows, query, most)
            assert [candidate.person for candidate in found] == [person for person, _ in expected]
            assert [candidate.score for candidate in found] == pytest.approx([score for _, score in expected], abs=1e-6)


def test_one_person_with_most_of_the_prototypes_hides_nobody() -> None:
    random = np.random.default_rng(0)
    index, query = Index(DIMENSION), unit(random)[0]
    for number in range(500):
        near = query + 0.01 * unit(random)[0]
        index.add(number, 1, (near / np.linalg.norm(near)).astype(np.float32))
    for person in (2, 3):
        index.add(500 + person, person, unit(random)[0])
    assert index.search(query[None], 3)[0][0].person == 1
    assert {candidate.person for candidate in index.search(query[None], 3)[0]} == {1, 2, 3}


def test_of_many_the_nearest_are_found() -> None:
    random = np.random.default_rng(3)
    vectors, people = unit(random, 5000), random.integers(1, 900, 5000)
    index = Index(DIMENSION)
    for number, (vector, person) in enumerate(zip(vectors, people, strict=True)):
        index.add(number, int(person), vector)
    rows = {number: (int(people[number]), vectors[number]) for number in range(5000)}
    queries = unit(random, 8)
    for most in (1, 5, 200):
        for query, found in zip(queries, index.search(queries, most), strict=True):
            # of so many some are equal but for rounding, so ranks are compared by their scores
            everyone = dict(brute_force(rows, query, 1000))
            best = sorted(everyone.values(), reverse=True)[:most]
            assert [candidate.score for candidate in found] == pytest.approx(best, abs=1e-6)
            assert all(candidate.score == pytest.approx(everyone[candidate.person], abs=1e-6) for candidate in found)
            assert len({candidate.person for candidate in found}) == most


def test_rows_reach_across_blocks() -> None:
    random = np.random.default_rng(1)
    vectors = unit(random, 2 * BLOCK + 7)
    index = Index(DIMENSION)
    for number, vector in enumerate(vectors):
        index.add(number, number + 1, vector)
    for row in (0, BLOCK - 1, BLOCK, 2 * BLOCK + 6):
        assert index.search(vectors[row][None], 1)[0][0].person == row + 1
    for number in range(2 * BLOCK + 7):
        if number != BLOCK:
            index.remove(number)
    assert [candidate.person for candidate in index.search(vectors[:1], 5)[0]] == [BLOCK + 1]


def test_nothing_is_found_where_nobody_is_or_nothing_is_asked() -> None:
    random = np.random.default_rng(2)
    index = Index(DIMENSION)
    assert index.search(unit(random, 2), 5) == [[], []]
    index.add(1, 1, unit(random)[0])
    assert index.search(unit(random, 1), 0) == [[]]
    assert index.search(np.zeros((0, DIMENSION), np.float32), 5) == []
