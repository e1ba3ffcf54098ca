"""What `edge-reid data check` says of whole, half-unpacked and strange data sets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edge_reid.cli import main
from edge_reid.data.check import Finding, check
from edge_reid.data.folder import FolderDataset
from edge_reid.errors import UserError
from tests.data.trees import permutations, put


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.what: finding for finding in findings}


def test_sysu_is_counted_and_compared_with_the_protocol(sysu: Path) -> None:
    found = by_name(check("sysu", sysu))
    assert (found["exp/train_id.txt, identities"].found, found["exp/train_id.txt, identities"].expected) == ("3", "296")
    count = len(list((sysu / "cam2").glob("*/*")))
    assert (found["cam2 (visible)"].state, found["cam2 (visible)"].found) == ("ok", f"{count} pictures")
    assert found["gallery, all search, single-shot"].found == "14"
    assert found["gallery, indoor search, single-shot"].found == "6"
    assert found["training identities"].found == "5"
    assert {f.state for f in found.values()} == {"ok", "optional", "unsure", "differs"}
    assert found["visible training pictures"].state == "unsure", "that count is not the authors' own"
    assert found["visible pictures"].state == "unsure", "that count may hold people whom no list has"
    (optional,) = [f for f in found.values() if f.state == "optional"]
    assert optional.what == "exp/rand_perm_cam.mat (--sampling official)"
    assert "get it from github.com/wuancong/SYSU-MM01" in optional.remedy


def test_the_official_permutations_are_tried(sysu: Path) -> None:
    permutations(sysu)
    official = by_name(check("sysu", sysu))["exp/rand_perm_cam.mat (--sampling official)"]
    assert (official.state, official.found) == ("differs", str(14 * 10))
    (sysu / "exp" / "rand_perm_cam.mat").write_bytes(b"half")
    assert "holds no variable" in by_name(check("sysu", sysu))["exp/rand_perm_cam.mat (--sampling official)"].found


def test_every_half_unpacked_state_of_sysu_is_one_line_and_hides_no_other(sysu: Path) -> None:
    shutil.rmtree(sysu / "cam5")
    (sysu / "exp" / "test_id.txt").unlink()
    (sysu / "cam1" / "0001" / "0001.jpg").write_bytes(b"")
    found = by_name(check("sysu", sysu))
    assert found["cam5 (visible)"].state == "missing"
    assert "test_id.txt: no such file" in found["exp/test_id.txt, identities"].found
    assert found["cam1 (visible)"].state == "ok"
    assert found["files of 0 bytes"].found.endswith("0001/0001.jpg first")
    assert found["queries"].state == "missing"


def test_regdb_is_checked_split_by_split(regdb: Path) -> None:
    found = by_name(check("regdb", regdb))
    assert (found["Visible, identities"].found, found["Thermal, pictures"].found) == ("6", "18")
    assert (found["split 1"].state, found["split 1"].found) == ("differs", "18 + 18 pictures, 3 + 3 people")
    assert found["split 3"].state == "missing"
    assert "train_visible_3.txt: no such file" in found["split 3"].found
    next((regdb / "Thermal" / "4").glob("*_1.bmp")).unlink()
    split = by_name(check("regdb", regdb))["split 2"]
    assert split.state == "missing"
    assert "1 listed pictures" in split.found


def test_a_regdb_list_of_its_own_test_people_is_found(regdb: Path) -> None:
    for kind in ("visible", "thermal"):
        shutil.copy(regdb / "idx" / f"test_{kind}_1.txt", regdb / "idx" / f"train_{kind}_1.txt")
    assert "identity 1 in train and test" in by_name(check("regdb", regdb))["split 1"].found


def test_llcm_misses_what_is_missing_but_not_the_camera_that_never_was(llcm: Path) -> None:
    found = by_name(check("llcm", llcm))
    assert not [what for what in found if what.startswith("test_")]
    assert found["training identities"].found == "2"
    assert found["listed training pictures that are not there"].state == "ok"
    shutil.rmtree(llcm / "test_nir" / "cam7")
    shutil.rmtree(llcm / "vis" / "0002")
    found = by_name(check("llcm", llcm))
    assert found["test_nir/cam7"].state == "missing"
    assert found["listed training pictures that are not there"].found == "2"


def test_a_folder_of_ones_own_is_told_in_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split, people in (("train", (1, 2)), ("test", (3,))):
        for person in people:
            for kind, camera in (("visible", 1), ("thermal", 2)):
                put(tmp_path / split / kind / str(person) / f"c{camera}_0.png")
    assert main(["data", "check", "folder", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["found"] for row in told] == [
        "4 pictures of 2 people by 2 cameras", "2 pictures of 1 people by 2 cameras",
    ]  # fmt: skip
    put(tmp_path / "train" / "visible" / "9" / "c1_0.png")
    assert main(["data", "check", "folder", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "1 people in one" in captured.out
    assert "not whole, 1 of 2 lines above say why" in captured.err


def test_a_folder_that_is_not_there_names_the_form_to_sign(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such folder; RegDB: .* with a signed form"):
        check("regdb", tmp_path / "nowhere")


TABLE = """split,path,camera,identity,modality,note
train,a/1.png,1,7,visible,x
train,a/2.png,2,7,thermal,x
test,b/1.png,1,8,visible,x
test,b/2.png,2,8,thermal,x
"""


def test_a_table_is_a_data_folder(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text(TABLE, encoding="utf-8-sig")
    for name in ("a/1", "a/2", "b/1", "b/2"):
        put(tmp_path / f"{name}.png")
    data = FolderDataset(path)
    assert data.label == "people"
    assert [(s.path, s.identity, s.camera, s.modality) for s in data.train()] == [
        (tmp_path / "a/1.png", 7, 1, "visible"), (tmp_path / "a/2.png", 7, 2, "thermal"),
    ]  # fmt: skip
    assert [search.direction for search in data.searches()] == ["thermal -> visible", "visible -> thermal"]
    assert {finding.state for finding in check("folder", path)} == {"ok"}
    (tmp_path / "b" / "2.png").unlink()
    assert by_name(check("folder", path))["test, pictures that are not there"].found == "1"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("camera", "cam", r"people.csv: has no column camera; it needs path, identity"),
        ("2,7,thermal", "2,7,infrared", r"people.csv:3: modality 'infrared'; write visible or thermal"),
        ("1,8,visible", "1,eight,visible", r"people.csv:4: identity 'eight' is not a number"),
        ("test,b/2.png", "query,b/2.png", r"people.csv:5: split 'query'; write train or test"),
        ("a/2.png", "a/1.png", r"people.csv:3: a/1.png is in it twice"),
        ("2,8,thermal", "2,7,thermal", r"identity 7 is in train and in test"),
    ],
)
def test_a_table_that_is_wrong_names_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "people.csv"
    path.write_text(TABLE.replace(old, new, 1))
    with pytest.raises(UserError, match=message):
        FolderDataset(path)
