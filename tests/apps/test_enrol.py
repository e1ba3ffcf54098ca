from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scripts import load

from edge_reid.errors import UserError
from edge_reid.gallery.base import Prototype
from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.types import MODALITIES, Modality

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "real"
APP = ROOT / "apps" / "enrol.py"
SIZE = (32, 16)
MODEL = ("0123456789abcdef", 3)

needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"the real pictures are not at {REAL}")


enrol = load(APP)
walkers = load(ROOT / "tests" / "people" / "walkers.py")


class Alone(walkers.Film):  # type: ignore[misc,name-defined]
    """One of the walkers; a second one until some frame."""

    def __init__(self, person: int, second: int | None = None, until: int = 0) -> None:
        self.shown = {person: self.frames}
        if second is not None:
            self.shown[second] = until

    def box(self, person: int, index: int, modality: Modality) -> tuple[int, int, int, int] | None:
        box: tuple[int, int, int, int] | None = super().box(person, index, modality)
        return box if index < self.shown.get(person, 0) else None


FILMS = {
    "first": Alone(0),
    "second": Alone(1),
    "nobody": Alone(7),
    "two": Alone(0, second=1, until=60),
    "one goes": Alone(1, second=0, until=24),
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("videos")
    for name, film in FILMS.items():
        (folder / name).mkdir()
        for modality in MODALITIES:
            code, path = cv2.VideoWriter.fourcc(*"MJPG"), folder / name / f"{modality}.avi"
            writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, walkers.RATE, (320, 240))
            for index in range(film.frames):
                image = film.image(index, modality)
                writer.write(image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
            writer.release()
    return {name: folder / name for name in FILMS}


def work(gallery: Path, film: Path, *, only: str | None = None, **options: Any) -> int:
    sources = {modality: str(film / f"{modality}.avi") for modality in MODALITIES if only in (None, modality)}
    chosen = enrol.Options(**{"gallery": gallery, "name": "Ada", "crops": 3, "offline": True} | sources | options)
    number: int = enrol.work(chosen, dict.fromkeys(MODALITIES, walkers.embed), SIZE, MODEL, None)
    return number


def search(gallery: Path, person: int, modality: Modality) -> float:
    people = SqliteGallery(gallery)
    found = people.search(np.eye(3, dtype=np.float32)[person][None], modality)[0]
    people.close()
    return found[0].score if found else -1.0


def test_who_walks_by_alone_is_enrolled_by_both_cameras(
    videos: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert work(tmp_path / "people", videos["second"], keep_crops=True) == 1
    printed = capsys.readouterr()
    assert "person 1 (Ada): 3 visible, 3 thermal pictures" in printed.out
    assert printed.err.splitlines() == [
        "enrol: nobody in view; waiting", "enrol: one person in view; taking pictures", "enrol: that is enough",
    ]  # fmt: skip
    for modality in MODALITIES:
        assert search(tmp_path / "people", 1, modality) == pytest.approx(1.0, abs=0.01)
    people = SqliteGallery(tmp_path / "people")
    assert people.stats().crops == 2
    assert [access.action for access in people.audit()][-2:] == ["enrol", "open"]
    people.close()


def test_one_camera_is_enough(videos: dict[str, Path], tmp_path: Path) -> None:
    work(tmp_path / "people", videos["first"], only="thermal")
    assert search(tmp_path / "people", 0, "thermal") == pytest.approx(1.0, abs=0.01)
    assert search(tmp_path / "people", 0, "visible") == -1.0


def test_nobody_is_enrolled_while_two_are_in_view(
    videos: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="nobody was alone and whole in view of the visible and the thermal camera"):
        work(tmp_path / "people", videos["two"], crops=8)
    assert "several people in view; waiting until one is left" in capsys.readouterr().err


def test_whoever_is_left_alone_is_enrolled_and_not_the_one_who_went(videos: dict[str, Path], tmp_path: Path) -> None:
    work(tmp_path / "people", videos["one goes"])
    for modality in MODALITIES:
        assert search(tmp_path / "people", 1, modality) == pytest.approx(1.0, abs=0.01)
        assert search(tmp_path / "people", 0, modality) < 0.5


def test_nobody_comes_and_time_runs_out(videos: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nobody was alone"):
        work(tmp_path / "people", videos["nobody"])
    with pytest.raises(UserError, match="nobody was alone"):
        work(tmp_path / "people", videos["first"], seconds=0.5)


def test_a_second_visit_adds_to_the_person(videos: dict[str, Path], tmp_path: Path) -> None:
    assert (
        work(tmp_path / "people", videos["second"], only="visible")
        == work(tmp_path / "people", videos["second"], only="visible")
        == 1
    )
    people = SqliteGallery(tmp_path / "people")
    assert people.person(1).prototypes == {"visible": 2}
    people.close()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"crops": 0}, "--crops needs at least 1"),
        ({"seconds": 0.0}, "--seconds more than 0"),
        ({"name": " "}, "printable"),
        ({"detector": "sonar"}, "sonar"),
        ({"visible": None, "thermal": None}, "--visible or --thermal: at least one camera is needed"),
        ({"visible": "missing.mp4"}, "missing.mp4"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused(
    options: dict[str, Any], line: str, videos: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=line):
        work(tmp_path / "people", videos["nobody"], **options)


def test_who_is_not_taken_leaves_no_gallery(videos: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nobody was alone"):
        work(tmp_path / "people", videos["nobody"])
    assert list(tmp_path.iterdir()) == []


def test_a_camera_that_never_comes_is_told_long_before_time_is_up(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(UserError, match=r"--visible camera 9999: has given no picture in 5 s: does not open; check"):
        work(tmp_path / "people", tmp_path, only="none", visible="9999", offline=False, seconds=600.0)
    assert time.monotonic() - began < 60
    assert list(tmp_path.iterdir()) == []


def test_each_camera_may_have_its_own_detector(videos: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="sonar"):
        work(tmp_path / "people", videos["second"], thermal_detector="sonar")
    work(tmp_path / "people", videos["second"], detector="sonar", visible_detector="motion", thermal_detector="hot")


def test_a_lookalike_without_a_name_is_a_number(
    videos: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = SqliteGallery(tmp_path / "people", space=MODEL[0], dimension=MODEL[1])
    people.add(Prototype("visible", np.eye(3, dtype=np.float32)[1], 1.0, time.time()))
    people.close()
    sources = {"visible": str(videos["second"] / "visible.avi")}
    chosen = enrol.Options(gallery=tmp_path / "people", name="Ada", crops=3, offline=True, **sources)
    enrol.work(chosen, dict.fromkeys(MODALITIES, walkers.embed), SIZE, MODEL, walkers.networks().rule)
    told = capsys.readouterr().out
    assert "looks like person 1: cosine " in told and "; if they are one, forget one of them" in told


@needs_real
def test_somebody_real_is_enrolled_by_the_carried_networks(tmp_path: Path) -> None:
    words = [
        sys.executable, APP, "--gallery", tmp_path / "people", "--name", "Walker", "--offline", "--crops", "3",
        "--visible", REAL / "video" / "one-by-one-person-detection.mp4",
        "--detector", f"onnx:{REAL / 'detector' / 'yolox_nano_416.onnx'}",
    ]  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"} | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run([str(word) for word in words], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(f"{tmp_path / 'people'}: person 1 (Walker): 3 visible pictures")


def test_the_app_ends_with_one_line_and_explains_itself(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, str(APP), "--gallery", str(tmp_path), "--name", "Ada", "--visible", "missing.mp4"]
    ran = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert ran.stderr.startswith(f"enrol: {tmp_path}: a folder; a gallery is one file")
    shown = subprocess.run([*words[:2], "--help"], env=environment, capture_output=True, text=True)
    assert shown.returncode == 0 and "--keep-crops" in shown.stdout
