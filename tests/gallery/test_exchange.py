from __future__ import annotations

import base64
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strangers import DIMENSION, NOW, SPACE, gallery, look

from edge_reid.errors import UserError
from edge_reid.gallery.records import Keep


@pytest.fixture
def exported(random: np.random.Generator, tmp_path: Path) -> Path:
    """Three people, one of them with everything."""
    with gallery(tmp_path / "origin", keep_crops=True) as people:
        people.add(look(random))
        people.forget(1)
        people.add(look(random))
        number = people.enrol("Ada", [look(random), look(random, "thermal", quality=0.5)], [b"\xff\xd8 jpeg", None])
        people.sighted(number, "visible", NOW + 1, NOW + 2)
        people.add(look(random, time=NOW + 5))
        assert people.export(tmp_path / "people.jsonl") == 3
    return tmp_path / "people.jsonl"


def test_an_export_is_lines_that_anybody_can_read_but_its_owner_alone_may(exported: Path) -> None:
    assert stat.S_IMODE(exported.stat().st_mode) == 0o600
    header, *people = map(json.loads, exported.read_text().splitlines())
    assert header == {
        "format": "edge-reid gallery", "version": 1, "space": SPACE, "dimension": DIMENSION, "people": 3,
    }  # fmt: skip
    assert [person["number"] for person in people] == [2, 3, 4]
    ada = people[1]
    assert (ada["name"], ada["first_seen"], ada["last_seen"]) == ("Ada", NOW, NOW + 2)
    assert ada["sightings"] == [{"camera": "visible", "began": NOW + 1, "ended": NOW + 2}]
    assert {prototype["modality"] for prototype in ada["prototypes"]} == {"visible", "thermal"}
    vector = np.frombuffer(base64.b64decode(ada["prototypes"][0]["vector"]), "<f4")
    assert vector.shape == (DIMENSION,) and np.linalg.norm(vector) == pytest.approx(1)
    assert [path.name for path in exported.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("key", [None, bytes(32)], ids=["plain", "encrypted"])
def test_a_new_gallery_becomes_the_same_as_the_exported_one(exported: Path, key: bytes | None, tmp_path: Path) -> None:
    with gallery(tmp_path / "copy", key=key) as copy, gallery(tmp_path / "origin") as origin:
        assert copy.import_(exported) == {2: 2, 3: 3, 4: 4}
        assert copy.people() == origin.people()
        assert copy.sightings() == origin.sightings()
        assert copy.stats().crops == 1
        query = np.eye(2, DIMENSION, dtype=np.float32)
        assert copy.search(query, "visible") == origin.search(query, "visible")
        assert copy.add(look(np.random.default_rng(1))) == 5
    with gallery(tmp_path / "copy", key=key) as copy:
        copy.forget(5)
        copy.export(tmp_path / "again.jsonl")
    assert contents(tmp_path / "again.jsonl") == contents(exported)


def test_people_who_come_to_others_get_numbers_that_nobody_had(exported: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    with gallery(tmp_path / "other") as people:
        for _ in range(3):
            people.add(look(random))
        people.forget(2)
        assert people.import_(exported) == {2: 4, 3: 5, 4: 6}
        assert [person.number for person in people.people()] == [1, 3, 4, 5, 6]
        assert people.audit(1)[0].action == "import"


def test_no_more_prototypes_come_in_than_a_person_may_have(exported: Path, tmp_path: Path) -> None:
    edit(exported, 1, lambda line: line.update(prototypes=line["prototypes"] * 5))
    with gallery(tmp_path / "other", keep=Keep(prototypes=2)) as people:
        people.import_(exported)
        assert people.person(2).prototypes == {"visible": 2}


def contents(path: Path) -> list[dict[str, Any]]:
    """The lines, each person's prototypes in an order that does not depend on the file."""
    header, *people = map(json.loads, path.read_text().splitlines())
    for person in people:
        person["prototypes"].sort(key=str)
    return [header, *people]


def edit(path: Path, number: int, change: Callable[[dict[str, Any]], object]) -> None:
    lines = path.read_text().splitlines()
    content = json.loads(lines[number])
    change(content)
    lines[number] = json.dumps(content)
    path.write_text("\n".join(lines) + "\n")


def vector(values: np.ndarray) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


WRONG: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_text(""),
    "no text": lambda path: path.write_bytes(b"\x80\x81\xfe" * 100),
    "no JSON": lambda path: path.write_text("people"),
    "a list": lambda path: path.write_text("[]\n"),
    "another format": lambda path: edit(path, 0, lambda line: line.update(format="csv")),
    "a newer version": lambda path: edit(path, 0, lambda line: line.update(version=2)),
    "another model": lambda path: edit(path, 0, lambda line: line.update(space="fedcba9876543210")),
    "another length": lambda path: edit(path, 0, lambda line: line.update(dimension=DIMENSION * 2)),
    "cut short": lambda path: path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n"),
    "cut inside a line": lambda path: path.write_text(path.read_text()[:-200]),
    "one more": lambda path: path.write_text(path.read_text() + path.read_text().splitlines()[1]),
    "an unknown field": lambda path: edit(path, 1, lambda line: line.update(age=30)),
    "a missing field": lambda path: edit(path, 1, lambda line: line.pop("last_seen")),
    "number 0": lambda path: edit(path, 1, lambda line: line.update(number=0)),
    "number too large": lambda path: edit(path, 1, lambda line: line.update(number=2**63)),
    "number as text": lambda path: edit(path, 1, lambda line: line.update(number="2")),
    "a name of two lines": lambda path: edit(path, 1, lambda line: line.update(name="a\nb")),
    "a name that is taken": lambda path: edit(path, 1, lambda line: line.update(name="Bob")),
    "a name twice": lambda path: edit(path, 1, lambda line: line.update(name="Ada")),
    "seen before the first time": lambda path: edit(path, 1, lambda line: line.update(last_seen=1.0)),
    "a time that is none": lambda path: edit(path, 1, lambda line: line.update(first_seen=float("nan"))),
    "a sighting backwards": lambda path: edit(path, 2, lambda line: line["sightings"][0].update(ended=0.0)),
    "a strange modality": lambda path: edit(path, 2, lambda line: line["prototypes"][0].update(modality="sonar")),
    "no quality": lambda path: edit(path, 2, lambda line: line["prototypes"][0].update(quality=0)),
    "no base64": lambda path: edit(path, 2, lambda line: line["prototypes"][0].update(vector="!!!")),
    "a short vector": lambda path: edit(path, 2, lambda line: line["prototypes"][0].update(vector="AAAA")),
    "not of unit norm": lambda path: edit(
        path, 3, lambda line: line["prototypes"][0].update(vector=vector(np.ones(DIMENSION)))
    ),
    "not numbers": lambda path: edit(
        path, 3, lambda line: line["prototypes"][0].update(vector=vector(np.full(DIMENSION, np.nan)))
    ),
}


@pytest.mark.parametrize("damage", WRONG.values(), ids=WRONG)
def test_what_is_wrong_brings_nobody_in(exported: Path, damage: Callable[[Path], object], tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    damage(exported)
    with gallery(tmp_path / "other") as people:
        people.enrol("Bob", [look(random)])
        with pytest.raises(UserError, match=f"^{exported}: ") as refused:
            people.import_(exported)
        assert "\n" not in str(refused.value)
        assert [person.name for person in people.people()] == ["Bob"]
        assert people.add(look(random)) == 2
    with gallery(tmp_path / "other") as people:
        assert people.count() == 2


def test_an_export_that_cannot_be_written_is_one_line_and_leaves_nothing(exported: Path, tmp_path: Path) -> None:
    with gallery(tmp_path / "origin") as people:
        (tmp_path / "folder").mkdir()
        for out in (tmp_path / "folder", tmp_path / "missing" / "people.jsonl"):
            with pytest.raises(UserError, match=f"{out}: cannot be written"):
                people.export(out)
        with pytest.raises(UserError, match="cannot be read"):
            people.import_(tmp_path / "missing")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
