from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tyro
from strangers import NOW, all_bytes, gallery, look

from edge_reid.commands.gallery import Gallery
from edge_reid.errors import UserError
from edge_reid.gallery.cipher import KEY_VARIABLE


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Ada, who was seen twice, and a stranger."""
    random = np.random.default_rng(0)
    path = tmp_path / "people"
    with gallery(path) as people:
        ada = people.enrol("Ada", [look(random), look(random, "thermal")])
        people.add(look(random))
        people.sighted(ada, "visible", NOW, NOW + 10)
        people.sighted(ada, "thermal", NOW + 20, NOW + 30)
    return path


def call(*words: object) -> None:
    tyro.cli(Gallery, args=[str(word) for word in words]).run()


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    capsys.readouterr()
    call(*words, "--json")
    return json.loads(capsys.readouterr().out)


def test_people_are_listed(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ada, stranger = answer(capsys, "list", path)
    assert (ada["number"], ada["name"], ada["prototypes"]) == (1, "Ada", {"visible": 1, "thermal": 1})
    assert (stranger["name"], stranger["expires"]) == (None, NOW + 86400)
    call("list", path)
    printed = capsys.readouterr().out
    assert "Ada" in printed and "forgotten" in printed
    assert re.match(r"times of this machine's zone, now \S+, UTC[+-]\d{4}\n", printed)


@pytest.mark.parametrize("who", ["1", "Ada"])
def test_one_person_is_shown_by_number_or_name(who: str, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = answer(capsys, "show", path, who, "--most", 1)
    assert shown["name"] == "Ada"
    assert shown["sightings"] == [{"person": 1, "camera": "thermal", "began": NOW + 20, "ended": NOW + 30}]
    call("show", path, who)
    assert "visible" in capsys.readouterr().out


def test_people_are_renamed_and_forgotten(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("rename", path, "2", "Bob")
    assert "person 2 (Bob)" in capsys.readouterr().out
    call("forget", path, "Ada", "2", "Bob")
    assert "forgotten: person 1, person 2" in capsys.readouterr().out
    assert answer(capsys, "list", path) == []
    assert b"Ada" not in all_bytes(tmp_path) and b"Bob" not in all_bytes(tmp_path)


def test_nobody_is_forgotten_where_one_of_them_is_not_there(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for who in ("Eva", "17", "0", "1.5"):
        with pytest.raises(UserError, match=rf"^{path}: nobody is {who}; `edge-reid gallery list {path}` says who"):
            call("forget", path, "Ada", who)
    assert len(answer(capsys, "list", path)) == 2


def test_an_export_comes_back_into_a_new_gallery_with_a_key(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, copy, key = tmp_path / "out.jsonl", tmp_path / "copy", tmp_path / "key"
    call("export", path, out)
    assert "2 people, not encrypted" in capsys.readouterr().out
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with pytest.raises(UserError, match=f"{out} exists"):
        call("export", path, out)
    call("key", key)
    call("import", copy, out, "--key", key)
    assert answer(capsys, "stats", copy, "--key", key)["encrypted"]
    assert answer(capsys, "list", copy, "--key", key) == answer(capsys, "list", path)
    with pytest.raises(UserError, match="encrypted; give its key"):
        call("list", copy)
    with pytest.raises(UserError, match="somebody is called Ada already"):
        call("import", path, out)


def test_numbers_that_change_on_import_are_told(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("export", path, tmp_path / "out.jsonl")
    call("rename", path, "Ada", "Eva")
    capsys.readouterr()
    call("import", path, tmp_path / "out.jsonl")
    assert "2 people more\nnumbers that were taken: 1 is 3, 2 is 4" in capsys.readouterr().out


def test_stats_and_audit_are_told(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stats = answer(capsys, "stats", path)
    assert (stats["people"], stats["named"], stats["keep"]["anonymous"]) == (2, 1, 86400)
    call("show", path, "Ada")
    rows = answer(capsys, "audit", path, "--most", 3)
    assert [row["action"] for row in rows] == ["open", "show", "open"]
    assert rows[1]["person"] == 1 and rows[1]["actor"].startswith("edge-reid gallery, ")
    call("stats", path)
    call("audit", path)
    printed = capsys.readouterr().out
    assert re.search(r"keep anonymous +24 hours\n", printed) and re.search(r"keep named +30 days\n", printed)


def test_what_only_looks_makes_no_file(tmp_path: Path) -> None:
    for words in (["list"], ["stats"], ["audit"], ["show", "Ada"], ["forget", "Ada"], ["rename", "Ada", "Eva"]):
        with pytest.raises(UserError, match="no such gallery"):
            call(words[0], tmp_path / "none", *words[1:])
    assert list(tmp_path.iterdir()) == []


def picture(path: Path, seed: int, *, thermal: bool = False) -> Path:
    """Somebody's clothes: the same seed is the same person."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 3) if thermal else (6, 3, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.resize(coarse, (96, 200), interpolation=cv2.INTER_CUBIC))
    return path


def test_someone_is_enrolled_by_pictures_and_a_lookalike_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "people"
    visible = [picture(tmp_path / f"v{seed}.png", seed) for seed in (1, 2)]
    thermal = picture(tmp_path / "t.png", 3, thermal=True)
    call("enrol", path, "Ada", "--visible", *visible, "--thermal", thermal, "--keep-crops")
    printed = capsys.readouterr().out
    assert "person 1 (Ada): 2 visible, 1 thermal" in printed and "looks like" not in printed
    again = answer(capsys, "enrol", path, "Ada", "--visible", visible[0])
    assert (again["number"], again["prototypes"], again["lookalike"]) == (1, {"visible": 3, "thermal": 1}, None)
    twin = answer(capsys, "enrol", path, "Eva", "--thermal", thermal)
    assert twin["number"] == 2
    assert twin["lookalike"]["person"]["name"] == "Ada"
    assert twin["lookalike"]["cosine"] == pytest.approx(1.0, abs=1e-5)
    call("enrol", path, "Zoe", "--thermal", thermal)
    assert "looks like person" in capsys.readouterr().out
    assert answer(capsys, "stats", path)["crops"] == 3


def test_what_cannot_be_enrolled_makes_no_gallery(tmp_path: Path) -> None:
    path, fine = tmp_path / "people", picture(tmp_path / "fine.png", 1)
    (tmp_path / "text.png").write_text("no picture")
    for words, line in (
        ([], "--visible or --thermal: at least one picture"),
        (["--visible", fine, tmp_path / "none.png"], "none.png: cannot be read"),
        (["--visible", tmp_path / "text.png"], "text.png: not a picture"),
        (["--visible", fine, "--detector", "motion"], "--detector motion: sees nothing in a single picture"),
        (["--visible", fine, "--detector", "hog"], "shows 0 people to hog; give pictures of one person"),
        (["--visible", fine, "--bundle", tmp_path], "not a bundle"),
    ):
        with pytest.raises(UserError, match=line):
            call("enrol", path, "Ada", *words)
    with pytest.raises(UserError, match="printable"):
        call("enrol", path, " ", "--visible", fine)
    assert not path.exists()


def test_a_folder_stands_for_the_pictures_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "ada"
    folder.mkdir()
    for seed in (1, 2):
        picture(folder / f"{seed}.png", seed)
    (folder / "notes.txt").write_text("no picture")
    call("enrol", tmp_path / "people", "Ada", "--visible", folder, picture(tmp_path / "v.png", 3))
    assert "person 1 (Ada): 3 visible" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: no pictures in this folder"):
        call("enrol", tmp_path / "people", "Ada", "--visible", tmp_path / "empty")


def test_a_number_is_no_name_and_an_old_one_gives_way_to_the_number(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (("rename", path, "Ada", "2"), ("enrol", path, "17", "--visible", picture(tmp_path / "v.png", 1))):
        with pytest.raises(UserError, match="would be taken for a person's number; add a letter"):
            call(*words)
    call("export", path, tmp_path / "out.jsonl")
    old = tmp_path / "old"
    (tmp_path / "old.jsonl").write_text((tmp_path / "out.jsonl").read_text().replace('"Ada"', '"2"'))
    call("import", old, tmp_path / "old.jsonl")
    assert [person["name"] for person in answer(capsys, "list", old)] == ["2", None], "and it opens again"
    call("forget", old, "2")
    assert [person["number"] for person in answer(capsys, "list", old)] == [1]
    call("rename", old, "2", "Ada")
    assert answer(capsys, "show", old, "Ada")["number"] == 1


def test_a_gallery_of_another_model_is_not_enrolled_into(path: Path, tmp_path: Path) -> None:
    fine = picture(tmp_path / "fine.png", 1)
    with pytest.raises(UserError, match=f"{path}: made with model 0123456789abcdef .32 numbers., this one is"):
        call("enrol", path, "Eva", "--visible", fine)


def test_a_reader_who_leaves_early_hears_no_complaint(path: Path) -> None:
    command = [sys.executable, "-m", "edge_reid.cli", "gallery", "show", str(path), "Ada"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None and running.stderr is not None
    running.stdout.close()
    assert running.stderr.read() == ""
    assert running.wait() == 141
