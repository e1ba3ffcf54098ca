"""Is a data set whole? What is there, what its protocol needs, what is missing and where to get it.

Counts are those of the published archives: SYSU-MM01's and RegDB's are known from their authors' lists, LLCM's pictures
and SYSU-MM01's training pictures from reports of others, marked so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from edge_reid.data.folder import FolderDataset
from edge_reid.data.llcm import CAMERAS, Llcm
from edge_reid.data.regdb import SPLITS, RegDb
from edge_reid.data.sysu import PERMUTATIONS_FROM, THERMAL_CAMERAS, VISIBLE_CAMERAS, Sysu
from edge_reid.data.tree import pictures, read_numbers
from edge_reid.errors import UserError
from edge_reid.types import MODALITIES, Json, Modality, Sample

Name = Literal["folder", "sysu", "regdb", "llcm"]

WHOLE = "unpack the archive again; a half-unpacked one trains on fewer people without a word"

FORMS = {
    "sysu": "SYSU-MM01: github.com/wuancong/SYSU-MM01, with a signed form",
    "regdb": "RegDB: dm.dongguk.edu/link.html, with a signed form",
    "llcm": "LLCM: github.com/ZYK100/LLCM, with a signed form",
}


State = Literal["ok", "optional", "unsure", "differs", "missing"]
"""optional: only some protocols need it. unsure: it differs from a count that others reported, not the authors, or that
is not the count of this tree. Neither makes a set incomplete."""


@dataclass(frozen=True)
class Finding:
    """One thing that the protocol needs."""

    what: str
    state: State
    found: str
    expected: str = ""
    remedy: str = ""

    def as_json(self) -> dict[str, Json]:
        """The fields by name."""
        return asdict(self)


def check(name: Name, root: Path) -> list[Finding]:
    """Walk a data set; every finding is independent of the others, so that one look shows all.

    Raises:
        UserError: there is no such folder.
    """
    if not root.exists():
        where = f"; {FORMS[name]}" if name in FORMS else ""
        raise UserError(f"{root}: no such folder{where}")
    walk = {"sysu": _sysu, "regdb": _regdb, "llcm": _llcm, "folder": _folder}[name]
    return list(walk(root))


def _sysu(root: Path) -> Iterator[Finding]:
    for part, count in (("train", 296), ("val", 99), ("test", 96)):
        path = root / "exp" / f"{part}_id.txt"
        yield _counted(f"exp/{part}_id.txt, identities", partial(_numbers, path), count)
    for kind, cameras, total in (("visible", VISIBLE_CAMERAS, 30_071), ("infrared", THERMAL_CAMERAS, 15_792)):
        counts = {camera: _tree_size(root / f"cam{camera}") for camera in cameras}
        for camera, count in counts.items():
            folder = f"cam{camera} ({kind})"
            if not count:
                yield Finding(folder, "missing", "no picture", "pictures", WHOLE)
            else:
                yield Finding(folder, "ok", f"{count} pictures")
        # The authors' totals may count people whom the lists of identities leave out.
        yield _compared(f"{kind} pictures", sum(counts.values()), total, " in the authors' README")
    yield from _empty([root / f"cam{camera}" for camera in range(1, 7)], "*/*")
    yield _counted("training identities", lambda: len({s.identity for s in Sysu(root).train()}), 395)
    for modality, count in zip(MODALITIES, (22_258, 11_909), strict=True):
        yield _counted(
            f"{modality} training pictures",
            partial(_training, Sysu, root, modality),
            count,
            note=" as reported",
        )
    yield _counted("queries", lambda: len(Sysu(root).query()), 3803)
    for mode, count in (("all", 301), ("indoor", 112)):
        yield _counted(
            f"gallery, {mode} search, single-shot",
            partial(_gallery, root, mode=mode),
            count,
        )
    what = "exp/rand_perm_cam.mat (--sampling official)"
    if not (root / "exp" / "rand_perm_cam.mat").is_file():
        yield Finding(what, "optional", "not there, nor in the archive", "a file", f"get it from {PERMUTATIONS_FROM}")
    else:
        yield _counted(what, partial(_gallery, root, sampling="official", shots=10), 3010)


def _regdb(root: Path) -> Iterator[Finding]:
    for folder in ("Visible", "Thermal"):
        people = [path for path in _folders(root / folder) if path.name.isdecimal()]
        yield _compared(f"{folder}, identities", len(people), 412)
        yield _compared(f"{folder}, pictures", sum(len(pictures(path)) for path in people), 4120)
    yield from _empty([root / "Visible", root / "Thermal"], "*/*")
    for split in SPLITS:
        yield _split(root, split)


def _split(root: Path, split: int) -> Finding:
    what, expected = f"split {split}", "4 lists of 2060 pictures of 206 people, no person in train and test"
    try:
        data = RegDb(root, split=split)
        train, test = data.train(), [sample for modality in MODALITIES for sample in data.query(modality)]
    except UserError as error:
        return Finding(what, "missing", str(error), expected)
    people = {sample.identity for sample in train}, {sample.identity for sample in test}
    absent = [sample.path for sample in (*train, *test) if not sample.path.is_file()]
    if absent:
        return Finding(what, "missing", f"{len(absent)} listed pictures, {absent[0]} first", expected, WHOLE)
    if shared := people[0] & people[1]:
        return Finding(what, "differs", f"identity {min(shared)} in train and test", expected, "get the lists again")
    found = f"{len(train)} + {len(test)} pictures, {len(people[0])} + {len(people[1])} people"
    whole = (len(train), len(test), *map(len, people)) == (4120, 4120, 206, 206)
    return Finding(what, "ok" if whole else "differs", found, expected, "" if whole else "get the lists again")


def _llcm(root: Path) -> Iterator[Finding]:
    for modality, count in zip(MODALITIES, (16_946, 13_975), strict=True):
        short = "vis" if modality == "visible" else "nir"
        yield _counted(
            f"{modality} training pictures in idx/train_{short}.txt",
            partial(_training, Llcm, root, modality),
            count,
            note=" as reported",
        )
    yield _counted("training identities", lambda: len({s.identity for s in Llcm(root).train()}), 713)
    yield _counted("listed training pictures that are not there", lambda: _absent(Llcm(root).train()), 0)
    yield _counted("idx/test_id.txt, identities", partial(_numbers, root / "idx" / "test_id.txt"), 351)
    for short in ("vis", "nir"):
        for camera in CAMERAS:
            if (short, camera) == ("nir", 3):
                continue  # empty in the archive, too
            count = _tree_size(root / f"test_{short}" / f"cam{camera}")
            if not count:
                yield Finding(f"test_{short}/cam{camera}", "missing", "no picture", "pictures", WHOLE)
    for modality, count in zip(MODALITIES, (8_680, 7_166), strict=True):
        yield _counted(
            f"{modality} test pictures", partial(_queries, root, modality), count,
            note=" as reported",
        )  # fmt: skip
    yield from _empty([root / name for name in ("vis", "nir", "test_vis", "test_nir")], "**/*")


def _folder(root: Path) -> Iterator[Finding]:
    data = FolderDataset(root)
    for part, listed in (("train", data.train), ("test", lambda: [s for m in MODALITIES for s in data.query(m)])):
        try:
            samples: list[Sample] = listed()
        except UserError as error:
            yield Finding(part, "missing", str(error))
            continue
        seen = [{s.identity for s in samples if s.modality == modality} for modality in MODALITIES]
        alone = len(seen[0] ^ seen[1])
        cameras = len({sample.camera for sample in samples})
        found = f"{len(samples)} pictures of {len(seen[0] | seen[1])} people by {cameras} cameras"
        if alone:
            yield Finding(part, "differs", f"{found}; {alone} people in one modality only", "both modalities of all",
                          "they are never drawn for training and never found; add pictures or leave them")  # fmt: skip
        else:
            yield Finding(part, "ok", found)
        absent = _absent(samples)
        if absent:
            yield Finding(f"{part}, pictures that are not there", "missing", str(absent), "0", "mend the table")
        labels = data.part_labels()
        if labels and (mapped := sum(labels.path(sample) is not None for sample in samples)):
            yield Finding(f"{part}, label maps", "ok", f"{mapped} of {len(samples)} pictures")
    known = data.attributes()
    if known:
        yield Finding("attributes", "ok", f"{', '.join(known.names)} of {len(known.values)} people")
    yield from _empty([root / "train", root / "test"] if root.is_dir() else [], "*/*/*")


def _counted(what: str, count: Callable[[], int], expected: int, *, note: str = "") -> Finding:
    """What a reader finds, or the one line by which it refuses, which names its own remedy."""
    try:
        return _compared(what, count(), expected, note)
    except UserError as error:
        return Finding(what, "missing", str(error), f"{expected}{note}")


def _compared(what: str, found: int, expected: int, note: str = "") -> Finding:
    if found == expected:
        return Finding(what, "ok", str(found), f"{expected}{note}")
    if found and note:
        return Finding(what, "unsure", str(found), f"{expected}{note}", "that count may be of something else")
    return Finding(what, "differs" if found else "missing", str(found), f"{expected}{note}", WHOLE)


def _empty(folders: Sequence[Path], pattern: str) -> Iterator[Finding]:
    """Files of no bytes: what a full disk leaves of an archive."""
    files = [path for folder in folders for path in folder.glob(pattern) if path.is_file() and not path.stat().st_size]
    if files:
        yield Finding("files of 0 bytes", "missing", f"{len(files)}, {files[0]} first", "0", WHOLE)


def _tree_size(folder: Path) -> int:
    return sum(len(pictures(person)) for person in _folders(folder))


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _absent(samples: Sequence[Sample]) -> int:
    return sum(not sample.path.is_file() for sample in samples)


def _numbers(path: Path) -> int:
    return len(set(read_numbers(path)))


def _training(kind: type[Sysu] | type[Llcm], root: Path, modality: Modality) -> int:
    return sum(sample.modality == modality for sample in kind(root).train())


def _gallery(root: Path, **options: Any) -> int:
    return len(Sysu(root, **options).searches()[0].trials[0].gallery)


def _queries(root: Path, modality: Modality) -> int:
    return len(Llcm(root).query(modality))
