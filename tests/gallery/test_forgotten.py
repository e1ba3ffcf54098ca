"""What was forgotten is in none of the gallery's files, byte for byte."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from strangers import NOW, all_bytes, gallery, look

from edge_reid.errors import UserError
from edge_reid.gallery import store
from edge_reid.gallery.base import Prototype
from edge_reid.gallery.records import DAY, Keep


def traces(prototypes: list[Prototype], *values: bytes) -> list[bytes]:
    """Every eighth part of each vector, and the other values."""
    whole = [prototype.vector.tobytes() for prototype in prototypes]
    return [vector[start : start + 16] for vector in whole for start in range(0, len(vector), 16)] + list(values)


@pytest.mark.parametrize("seed", range(4))
def test_forgetting_leaves_no_byte(seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    path = tmp_path / "people"
    crop = b"\xff\xd8" + random.bytes(600)
    with gallery(path, keep_crops=True, keep=Keep(prototypes=3)) as people:
        others = [people.add(look(random), crop=b"\xff\xd8" + random.bytes(300)) for _ in range(30)]
        mine = [look(random, quality=quality) for quality in (0.2, 0.9, 0.5, 0.7, 0.1)]
        person = people.enrol("Ada Lovelace", mine[:2], [crop, None])
        people.flush()
        people.rename(person, "Countess of Lovelace")
        for prototype in mine[2:4]:
            people.add(prototype, person)
        people.flush()
        for other in random.choice(others, 12, replace=False).tolist():
            people.forget(other)
            people.add(look(random))
        merged = people.enrol("A. A. L.", mine[4:])
        people.flush()
        people.merge(person, merged)
        people.sighted(person, "visible", NOW + 1.625, NOW + 2.375)
        people.flush()
        wanted = traces(mine[1:2], b"Countess of Lovelace")
        assert all(trace in all_bytes(tmp_path) for trace in wanted), "or this test would prove nothing"
        people.forget(person)
        people.flush()
        for trace in [*traces(mine, crop[:16], crop[-16:]), b"Lovelace", b"A. A. L."]:
            assert trace not in all_bytes(tmp_path)
        assert {file.name for file in tmp_path.iterdir()} == {"people", "people-wal", "people-shm"}
        assert people.sightings() == []
        assert next(access.person for access in people.audit() if access.action == "forget") == person
    assert all(trace not in all_bytes(tmp_path) for trace in [*traces(mine, crop[:16]), b"Lovelace"])


def test_a_new_name_leaves_nothing_of_the_old_one_once_somebody_is_forgotten(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    with gallery(tmp_path / "people") as people:
        people.enrol("Grace Hopper", [look(random)])
        people.flush()
        people.rename(1, "Admiral Hopper")
        people.forget(people.add(look(random)))
        people.flush()
        assert b"Grace" not in all_bytes(tmp_path)
        assert b"Admiral Hopper" in all_bytes(tmp_path)


def test_while_somebody_reads_it_is_said_that_older_pages_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BUSY_SECONDS", 0.3)
    random = np.random.default_rng(0)
    path = tmp_path / "people"
    with gallery(path) as people:
        number = people.enrol("Ada Lovelace", [look(random)])
        people.flush()
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM people").fetchone()
        people.forget(number)
        with pytest.raises(UserError, match=f"{path}: forgotten, but another program is reading"):
            people.flush()
        assert people.count() == 0
        reader.execute("COMMIT")
        reader.close()
        monkeypatch.setattr(store, "BUSY_SECONDS", 10.0)
        people.flush()
        assert b"Lovelace" not in all_bytes(tmp_path)


def test_what_expired_is_wiped_once_a_day_or_by_the_next_who_opens(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    path = tmp_path / "people"
    moment = [NOW]

    def left() -> int:
        with sqlite3.connect(path) as connection:
            return int(connection.execute("SELECT wipe FROM gallery").fetchone()[0])

    with gallery(path, clock=lambda: moment[0]) as people:
        people.add(look(random))
        people.add(look(random, time=NOW + DAY))
        assert people.expire(NOW + DAY) == [1]
        people.flush()
        assert left() == 1
        moment[0] = NOW + 2 * DAY
        assert people.expire(NOW + 2 * DAY) == [2]
        people.flush()
        assert left() == 0
        people.add(look(random))
        people.expire(NOW + 10 * DAY)
        people.flush()
        assert left() == 1
    with gallery(path) as people:
        people.flush()
        assert left() == 0


def test_the_wiped_file_is_no_larger_than_what_is_in_it(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    path = tmp_path / "people"
    with gallery(path) as people:
        for _ in range(600):
            people.add(look(random))
        people.flush()
        full = people.stats().bytes
        for number in range(2, 601):
            people.forget(number)
        people.flush()
        assert people.stats().bytes < full / 2
        assert os.path.getsize(f"{path}-wal") < full / 2  # noqa: PTH202
