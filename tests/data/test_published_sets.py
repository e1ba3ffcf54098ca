"""SYSU-MM01, RegDB and LLCM as trees of the real shape: who searches whom, and half-unpacked archives."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from brute import brute

from edge_reid.data.llcm import Llcm
from edge_reid.data.regdb import RegDb
from edge_reid.data.search import Rule, Search
from edge_reid.data.sets import DataOptions
from edge_reid.data.sysu import INDOOR_CAMERAS, VISIBLE_CAMERAS, Sysu
from edge_reid.errors import UserError
from edge_reid.evaluation import evaluate
from edge_reid.types import Sample
from tests.data.trees import permutations, put


def vectors(samples: Sequence[Sample], noise: float = 1.5) -> np.ndarray:  # type: ignore[type-arg]
    """Unit vectors near that of the identity, the same for the same file in every run."""
    rows = []
    for sample in samples:
        own = np.random.default_rng(sample.identity).normal(size=6)
        key = int.from_bytes(str(sample.path)[-24:].encode()[-8:], "little")
        rows.append(own + noise * np.random.default_rng([key, sample.camera]).normal(size=6))
    array = np.array(rows, np.float32)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def by_hand(search: Search, rule: Rule) -> list[float]:
    """Rank-1, mAP and valid queries of a search, means over its trials, a query at a time."""
    distances = -(vectors(search.query) @ vectors(search.pool).T).astype(np.float64)
    results = []
    for trial in search.trials:
        asked, found = [search.query[row] for row in trial.queries], [search.pool[row] for row in trial.gallery]
        cmc, mean_ap, _, valid = brute(
            distances[np.ix_(trial.queries, trial.gallery)],
            [s.identity for s in asked], [s.identity for s in found],
            [s.camera for s in asked], [s.camera for s in found], rule,
        )  # fmt: skip
        results.append((cmc[0], mean_ap, valid))
    return [float(mean) for mean in np.mean(results, axis=0)]


def check(search: Search, rule: Rule) -> None:
    found = evaluate(search, vectors(search.query), vectors(search.pool))
    assert [found.rank1, found.mean_ap, found.queries] == pytest.approx(by_hand(search, rule), abs=1e-6)
    assert 0.2 < found.mean_ap < 1.0, "neither hopeless nor trivial, or the comparison says little"


def test_sysu_trains_on_train_and_val_and_searches_with_all_infrared(sysu: Path) -> None:
    data = Sysu(sysu)
    assert {sample.identity for sample in data.train()} == {1, 2, 3, 4, 5}
    (search,) = data.searches()
    assert {(s.modality, s.camera) for s in search.query} == {("thermal", 3), ("thermal", 6)}
    assert {s.identity for s in search.query} == {6, 7, 8, 9}
    assert len(search.query) == sum(
        1 for c in (3, 6) for p in (6, 7, 8, 9) for _ in (sysu / f"cam{c}/{p:04d}").glob("*")
    )
    assert "all search, thermal -> visible, 1-shot, gallery sampling ye" in search.protocol


@pytest.mark.parametrize(("mode", "cameras"), [("all", VISIBLE_CAMERAS), ("indoor", INDOOR_CAMERAS)])
def test_sysu_ye_draws_what_the_published_loop_draws(sysu: Path, mode: str, cameras: tuple[int, ...]) -> None:
    (search,) = Sysu(sysu, mode=mode).searches()  # type: ignore[arg-type]
    for number, trial in enumerate(search.trials):
        random.seed(number)
        expected = []
        for person in sorted(["0006", "0007", "0008", "0009"]):
            for camera in cameras:
                folder = sysu / f"cam{camera}" / person
                if folder.is_dir():
                    expected.append(random.choice(sorted(str(path) for path in folder.iterdir())))
        assert [str(search.pool[row].path) for row in trial.gallery] == expected
    check(search, "sysu")


def test_sysu_indoor_drops_queries_without_anyone_to_find(sysu: Path) -> None:
    (search,) = Sysu(sysu, mode="indoor").searches()
    found = evaluate(search, vectors(search.query), vectors(search.pool))
    assert found.queries == sum(sample.identity != 8 for sample in search.query)
    assert f"the {found.queries} queries counted that have someone to find" in found.protocol


@pytest.mark.parametrize("shots", [1, 10])
def test_sysu_official_takes_the_first_pictures_of_each_permutation(sysu: Path, shots: int) -> None:
    cells = permutations(sysu)
    (search,) = Sysu(sysu, shots=shots, sampling="official").searches()  # type: ignore[arg-type]
    for number, trial in enumerate(search.trials):
        expected = {
            sysu / f"cam{camera}" / f"{person:04d}" / f"{picture:04d}.jpg"
            for camera in VISIBLE_CAMERAS
            for person in (6, 7, 8, 9)
            if cells[camera - 1, 0][person - 1, 0].size
            for picture in cells[camera - 1, 0][person - 1, 0][number][:shots]
        }
        assert {search.pool[row].path for row in trial.gallery} == expected
        assert len(trial.gallery) == 14 * shots
    check(search, "sysu")


def test_sysu_says_what_is_missing(sysu: Path) -> None:
    with pytest.raises(
        UserError, match=r"rand_perm_cam.mat: not there, and it is not in the archive; get it from github"
    ):
        Sysu(sysu, sampling="official").searches()
    with pytest.raises(UserError, match="--sampling ye is single-shot only"):
        Sysu(sysu, shots=10)
    (sysu / "exp" / "rand_perm_cam.mat").write_bytes(b"nothing")
    with pytest.raises(UserError, match="holds no variable rand_perm_cam"):
        Sysu(sysu, sampling="official").searches()
    permutations(sysu)
    put(sysu / "cam4" / "0007" / "0001 (1).jpg")
    with pytest.raises(UserError, match=r"0001 \(1\).jpg: not a picture of SYSU-MM01, and it would change the draws"):
        Sysu(sysu).searches()
    (sysu / "cam4" / "0007" / "0001 (1).jpg").unlink()
    (sysu / "cam4" / "0007" / "0001.jpg").unlink()
    with pytest.raises(UserError, match="does not fit camera 4, identity 7"):
        Sysu(sysu, shots=10, sampling="official").searches()
    shutil.rmtree(sysu / "cam5")
    with pytest.raises(UserError, match=r"cam5: no such folder; unpack SYSU-MM01 whole"):
        Sysu(sysu).searches()
    (sysu / "exp" / "val_id.txt").write_text("4,7")
    with pytest.raises(UserError, match=r"identity 7 is in a training list and in test_id.txt"):
        Sysu(sysu)
    (sysu / "exp" / "test_id.txt").unlink()
    with pytest.raises(UserError, match=r"test_id.txt: no such file; is .*sysu the unpacked data set"):
        Sysu(sysu)


def test_regdb_searches_both_ways_among_the_other_half(regdb: Path) -> None:
    data = RegDb(regdb, split=2)
    assert {sample.identity for sample in data.train()} == {1, 3, 5}
    forth, back = data.searches()
    assert forth.modalities == ("visible", "thermal")
    assert back.modalities == ("thermal", "visible")
    for search in (forth, back):
        assert {sample.identity for sample in search.query} == {2, 4, 6}
        (trial,) = search.trials
        assert (len(trial.queries), len(trial.gallery)) == (9, 9)
        check(search, "regdb")
    assert "split 2 of 10, visible -> thermal" in forth.protocol


def test_regdb_says_what_is_wrong(regdb: Path) -> None:
    with pytest.raises(UserError, match="--split 11: RegDB has the splits 1 to 10"):
        RegDb(regdb, split=11)
    with pytest.raises(UserError, match=r"test_visible_3.txt: no such file"):
        RegDb(regdb, split=3).searches()
    path = regdb / "idx" / "test_visible_1.txt"
    path.write_text(path.read_text().replace("_1_0.bmp 0", "_1_0.bmp"))
    with pytest.raises(UserError, match=r"test_visible_1.txt:1: expected a path and a label"):
        RegDb(regdb).query("visible")
    path.write_text("Visible/1/a.bmp 0\nVisible/3/a.bmp 0\n")
    with pytest.raises(UserError, match="label 0 is identity 1 and 3"):
        RegDb(regdb).query("visible")


def test_llcm_searches_with_all_pictures_in_one_of_each_person_and_camera(llcm: Path) -> None:
    data = Llcm(llcm)
    train = data.train()
    assert {(s.identity, s.camera) for s in train} == {(1, 2), (1, 6), (2, 2), (2, 6)}
    assert [s.modality for s in train] == ["visible"] * 4 + ["thermal"] * 4
    forth, back = data.searches()
    assert (forth.modalities, back.modalities) == (("thermal", "visible"), ("visible", "thermal"))
    assert len(forth.trials[0].gallery) == 27
    assert len(back.trials[0].gallery) == 24, "no infrared camera 3"
    random.seed(4)
    expected = []
    for person in ("0011", "0012", "0013"):
        for camera in (1, 2, 4, 5, 6, 7, 8, 9):
            folder = llcm / "test_nir" / f"cam{camera}" / person
            expected.append(random.choice(sorted(str(path) for path in folder.iterdir())))
    assert [str(back.pool[row].path) for row in back.trials[4].gallery] == expected
    for search in (forth, back):
        check(search, "llcm")


def test_llcm_zyk_swaps_the_roles_and_says_so(llcm: Path) -> None:
    _, straight = Llcm(llcm).searches()
    _, swapped = Llcm(llcm, visible_search="zyk").searches()
    assert (straight.direction, swapped.direction) == ("visible -> thermal", "visible -> thermal (zyk)")
    assert "zyk" in swapped.protocol and "zyk" not in straight.protocol
    assert "24 thermal queries (one per identity and camera, random.seed(trial)), gallery of 5" in swapped.protocol
    assert swapped.modalities == ("thermal", "visible")
    for one, other in zip(straight.trials, swapped.trials, strict=True):
        assert [straight.pool[row].path for row in one.gallery] == [swapped.query[row].path for row in other.queries]
        assert len(other.gallery) == len(straight.query)
    check(swapped, "llcm")


def test_llcm_says_what_is_missing(llcm: Path) -> None:
    path = llcm / "idx" / "train_nir.txt"
    path.write_text("nir/0001/picture.jpg 0\n")
    with pytest.raises(UserError, match=r"nir/0001/picture.jpg is not <identity>"):
        Llcm(llcm).train()
    (llcm / "idx" / "test_id.txt").write_text("99\n")
    with pytest.raises(UserError, match=r"no picture of the 1 identities in idx/test_id.txt"):
        Llcm(llcm).searches()
    (llcm / "idx" / "test_id.txt").write_text("11;12\n")
    with pytest.raises(UserError, match="not one line of numbers with commas"):
        Llcm(llcm).searches()
    shutil.rmtree(llcm / "test_vis")
    with pytest.raises(UserError, match=r"test_vis: no such folder; unpack LLCM whole"):
        Llcm(llcm).searches()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (DataOptions(data_set="sysu"), "all search, thermal -> visible, 1-shot, gallery sampling ye"),
        (DataOptions(data_set="sysu", mode="indoor"), "indoor search, thermal -> visible, 1-shot, gallery sampling ye"),
        (
            DataOptions(data_set="sysu", sampling="official", shots=10),
            "all search, thermal -> visible, 10-shot, gallery sampling official",
        ),
        (DataOptions(data_set="regdb", split=2), "split 2 of 10"),
        (DataOptions(data_set="llcm", visible_search="zyk"), "zyk"),
    ],
    ids=["sysu", "indoor", "official", "regdb", "llcm"],
)
def test_options_choose_the_protocol(options: DataOptions, said: str, request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue(options.data_set)
    if options.sampling == "official":
        permutations(root)
    assert said in options.open(root).searches()[-1].protocol


@pytest.mark.parametrize(
    "options",
    [
        DataOptions(data_set="regdb", mode="indoor"),
        DataOptions(data_set="sysu", split=3),
        DataOptions(data_set="folder", shots=10),
        DataOptions(data_set="llcm", trials=3),
    ],
    ids=["mode", "split", "shots", "trials"],
)
def test_an_option_of_another_data_set_is_refused(options: DataOptions, tmp_path: Path) -> None:
    owner = {"regdb": "sysu", "sysu": "regdb", "folder": "sysu", "llcm": "folder"}[options.data_set]
    with pytest.raises(UserError, match=f"is of --data-set {owner}, and this is {options.data_set}; leave it out"):
        options.open(tmp_path)
