"""Several programs on one file at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from strangers import all_bytes, gallery, look

from edge_reid.gallery.sqlite import SqliteGallery

ROOT = Path(__file__).parents[2]

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)])}

CROWD = """
import sys
from pathlib import Path
import numpy as np
from strangers import NOW, gallery, look

random = np.random.default_rng(int(sys.argv[2]))
sys.stdin.readline()
with gallery(Path(sys.argv[1])) as people:
    for number in range(40):
        person = people.enrol(f"{sys.argv[2]} {number}", [look(random)])
        people.sighted(person, "visible", NOW + number, NOW + 2 * number)
        if number % 7 == 0:
            people.flush()
        print(person)
"""


def start(code: str, *words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)], env=ENVIRONMENT, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_three_programs_make_and_fill_one_gallery_at_once(tmp_path: Path) -> None:
    path = tmp_path / "people"
    crowd = [start(CROWD, path, seed) for seed in range(3)]
    for process in crowd:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60) for process in crowd]
    assert [process.returncode for process in crowd] == [0, 0, 0], answers
    given = [int(number) for out, _ in answers for number in out.split()]
    assert len(set(given)) == 120
    with gallery(path) as people:
        assert people.names().keys() == set(given)
        assert len(people.sightings()) == 120
        assert [file.name for file in tmp_path.iterdir() if file.suffix == ".new"] == []


CHANGE = """
import sys
from pathlib import Path
import numpy as np
from strangers import gallery, look

with gallery(Path(sys.argv[1]), space=None, dimension=None) as people:
    people.forget(1)
    people.rename(2, "Ada")
    people.merge(3, 4)
    print(people.enrol("Bob", [look(np.random.default_rng(9))]))
"""


def wait_for(people: SqliteGallery, numbers: set[int]) -> set[int]:
    changed: set[int] = set()
    deadline = time.monotonic() + 20
    while not numbers <= changed and time.monotonic() < deadline:
        changed |= people.refresh()
        time.sleep(0.05)
    return changed


def test_what_another_program_changes_is_seen_and_what_is_new_here_stays(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    path = tmp_path / "people"
    with gallery(path) as people:
        looks = [look(random) for _ in range(5)]
        for prototype in looks:
            people.add(prototype)
        people.flush()
        vector = looks[0].vector.tobytes()[:16]
        assert vector in all_bytes(tmp_path)
        out, err = start(CHANGE, path).communicate(timeout=60)
        assert out, err
        bob = int(out)
        mine = look(random)
        number = people.add(mine)  # while it may still be taking over what the other did
        changed = wait_for(people, {1, 2, 3, 4, bob})
        assert changed == {1, 2, 3, 4, bob}
        assert people.refresh() == set()
        assert [person.number for person in people.people()] == sorted([2, 3, 5, number, bob])
        assert people.names() == {2: "Ada", bob: "Bob"}
        owners = [people.search(prototype.vector[None], "visible")[0][0] for prototype in [*looks[1:], mine]]
        assert [owner.person for owner in owners] == [2, 3, 3, 5, number]
        assert people.search(looks[0].vector[None], "visible")[0][0].score < 0.9
        people.flush()
        assert vector not in all_bytes(tmp_path), "also with the app holding the file open"
    with gallery(path) as people:
        assert [person.number for person in people.people()] == sorted([2, 3, 5, number, bob])


def test_a_late_write_about_somebody_forgotten_elsewhere_brings_nobody_back(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    path = tmp_path / "people"
    with gallery(path) as app, gallery(path) as page:
        number = app.add(look(random))
        app.flush()
        assert wait_for(page, {number}) == {number}
        page.forget(number)
        page.flush()
        if number in {person.number for person in app.people()}:
            app.add(look(random), number)
            app.sighted(number, "visible", 1.0, 2.0)
            app.rename(number, "Ada")
        app.flush()
        wait_for(app, {number})
        assert app.count() == page.count() == 0
    with gallery(path) as people:
        assert (people.count(), people.sightings(), people.stats().prototypes["visible"]) == (0, [], 0)
