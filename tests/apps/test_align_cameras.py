"""The homography of two cameras from a film of walkers, from stored points, and from clicks in a real window."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tyro
from documented import calls_of_script
from scripts import environment, load

from edge_reid.cameras.geometry import GroundPlane, foot_points
from edge_reid.data.synthetic.scene import Screenplay, write_scene
from edge_reid.errors import UserError
from edge_reid.people.boxes import Boxes, intersection_over_union
from edge_reid.types import MODALITIES, Modality, other_modality

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "real"
APP = ROOT / "apps" / "align_cameras.py"

needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"the real pictures are not at {REAL}")
needs_display = pytest.mark.skipif(
    not (shutil.which("xvfb-run") and shutil.which("xdotool")), reason="needs xvfb-run and xdotool"
)


align_cameras = load(APP)


def run(folder: Path, out: Path, **options: Any) -> dict[str, Any]:
    given = {"visible": str(folder / "visible.avi"), "thermal": str(folder / "thermal.avi")} | options
    chosen = align_cameras.Options(out=out, headless=True, offline=True, **given)
    report: dict[str, Any] = align_cameras.run(chosen)
    return report


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "scene"
    write_scene(folder, Screenplay(people=6, seconds=24.0, fps=8, seed=31))
    return folder


def people_in_both(folder: Path) -> dict[Modality, Boxes]:
    """Boxes `(N, 4)` of the ground truth of those who are wholly in both views and little hidden."""
    rows: dict[Modality, dict[tuple[int, int], Boxes]] = {}
    for modality in MODALITIES:
        table = np.loadtxt(folder / f"gt_{modality}.txt", delimiter=",")
        table[:, 4:6] += table[:, 2:4]
        clear = (table[:, 8] > 0.8) & (table[:, 2:4] >= 0).all(axis=1) & (table[:, 4] <= 640) & (table[:, 5] < 475)
        rows[modality] = {(int(row[0]), int(row[1])): row[2:6].astype(np.float32) for row in table[clear]}
    both = sorted(set(rows["visible"]) & set(rows["thermal"]))
    return {modality: np.stack([rows[modality][key] for key in both]) for modality in MODALITIES}


def test_people_who_walk_through_both_views_tell_where_the_views_meet(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # the source takes its pictures to be older than they are, as if the other camera were late
    report = run(scene, tmp_path / "h.json", thermal=f"{scene / 'thermal.avi'}?delay=0.4")
    found, true = GroundPlane.read(tmp_path / "h.json"), GroundPlane.read(scene / "homography.json")
    boxes = people_in_both(scene)
    feet = foot_points(boxes["visible"])
    heights = boxes["thermal"][:, 3] - boxes["thermal"][:, 1]
    off = np.linalg.norm(found.across(feet, "visible")[0] - true.across(feet, "visible")[0], axis=1) / heights
    assert len(off) > 200
    assert np.median(off) < 0.06 and np.quantile(off, 0.95) < 0.12, "heights of a person; a gate is half a height"
    assert report["uncertainty_heights"] < 0.1
    assert report["thermal_delay_seconds"] == pytest.approx(-0.4, abs=0.05)
    assert "the visible camera is late: give its source the option delay=0." in align_cameras._readable(report)
    told = capsys.readouterr().err.splitlines()
    assert "10 s: " in told[0] and "walk" in told[0], "after ten seconds it says what is missing yet"
    assert re.search(r"points span visible \d+ %, thermal \d+ % of the view, sure to 0.\d\d heights", told[-1])
    for modality in MODALITIES:
        carried, kept = found.carry(boxes[modality], modality, found.sizes)
        expected = boxes[other_modality(modality)][kept]
        assert len(kept) > 0.95 * len(off)
        overlaps = np.diag(intersection_over_union(carried, expected))
        assert np.median(overlaps) > 0.75 and np.quantile(overlaps, 0.1) > 0.55
        tall = (carried[:, 3] - carried[:, 1]) / (expected[:, 3] - expected[:, 1])
        assert np.abs(np.log(tall)).max() < 0.12, "how tall one is follows"
    picture = cv2.imread(report["files"]["picture"])
    assert picture is not None and picture.shape == (966, 1286, 3)
    about = json.loads((tmp_path / "h.json").read_text())["about"]
    assert about == {key: value for key, value in report.items() if key != "files"}


def test_too_little_walking_writes_nothing(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="walk"):
        run(scene, tmp_path / "h.json", seconds=10.0)
    assert list(tmp_path.iterdir()) == []


def write_pairs(path: Path, size: tuple[int, int], pairs: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps({"visible_size": size, "thermal_size": size, "pairs": pairs}))


@needs_real
def test_points_clicked_in_a_beam_splitters_pictures_make_nearly_the_identity(tmp_path: Path) -> None:
    clicked = [
        ((484, 376), (482, 378)), ((425, 262), (427, 268)), ((437, 331), (437, 333)), ((259, 300), (258, 318)),
        ((155, 492), (148, 492)), ((628, 505), (624, 500)),
    ]  # fmt: skip
    write_pairs(tmp_path / "p.json", (512, 640), [{"visible": a, "thermal": b} for a, b in clicked])
    pictures = str(REAL / "kaist" / "set08_V002_I01419_*{}.png")
    report = run(
        tmp_path, tmp_path / "h.json", visible=pictures.format("visible"), thermal=pictures.format("lwir"),
        pairs=tmp_path / "p.json", picture=tmp_path / "overlap.jpg",
    )  # fmt: skip
    assert (report["method"], report["points"], report["left_out"]) == ("pairs", 6, 0)
    ground = GroundPlane.read(tmp_path / "h.json")
    places = np.array([[x, y] for x in (200.0, 400.0, 600.0) for y in (300.0, 400.0, 500.0)])
    assert np.abs(ground.across(places, "visible")[0] - places).max() < 25
    assert cv2.imread(str(tmp_path / "overlap.jpg")).shape == (966, 1286, 3)


def test_points_of_pictures_of_another_size_are_scaled(scene: Path, tmp_path: Path) -> None:
    true = GroundPlane.read(scene / "homography.json")
    corners = np.array([[150.0, 420.0], [500.0, 430.0], [430.0, 240.0], [200.0, 250.0], [330.0, 330.0]])
    mapped, _ = true.across(corners, "visible")
    rows = [{"visible": list(a / 2), "thermal": list(b / 2)} for a, b in zip(corners, mapped, strict=True)]
    write_pairs(tmp_path / "p.json", (240, 320), rows)
    run(scene, tmp_path / "h.json", pairs=tmp_path / "p.json")
    run(scene, tmp_path / "h.json", pairs=tmp_path / "p.json")  # an older one is replaced
    found = GroundPlane.read(tmp_path / "h.json")
    assert found.sizes == dict.fromkeys(MODALITIES, (480, 640))
    np.testing.assert_allclose(found.across(corners, "visible")[0], mapped, atol=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--visible", "none.avi", "--thermal", "none.avi"], "none.avi"),
        (["--visible", "{film}", "--thermal", "{film}", "--pairs", "none.json"], "--pairs none.json: cannot be read"),
        (["--visible", "{film}", "--thermal", "{film}", "--pairs", "{film}"], "needs visible_size"),
        (["--visible", "{film}", "--thermal", "{film}", "--seconds", "3"], "--seconds 3: needs at least 10"),
        (["--visible", "{film}", "--thermal", "{film}", "--seconds", "nan"], "--seconds nan: needs at least 10"),
        (["--visible", "{film}", "--thermal", "{film}", "--picture", "x.txt"], "--picture x.txt"),
        (["--visible", "{film}", "--thermal", "{film}", "--out", "folder"], "--out folder: is a folder"),
        (
            ["--visible", "{film}", "--thermal", "{film}", "--out", "notes.txt"],
            "--out notes.txt: exists and is no homog",
        ),
        (["--visible", "{film}", "--thermal", "{film}", "--click"], "--click needs a display"),
        (["--visible", "{film}", "--thermal", "{film}", "--click", "--headless"], "--click needs a window"),
        (["--visible", "{film}", "--thermal", "{film}", "--detector", "magic"], "detector magic"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_request_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.txt").write_text("dear diary")
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    words = [word.format(film=scene / "visible.avi") for word in arguments]
    assert align_cameras.main(["--offline", *words]) == 2
    errors = capsys.readouterr().err
    assert len(errors.strip().splitlines()) == 1 and message in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "dear diary"


CLICKING = """
import json, subprocess, sys, time
app, pairs, *words = sys.argv[1:]
running = subprocess.Popen([sys.executable, app, *words])
def xdotool(*what):
    return subprocess.run(['xdotool', *map(str, what)], capture_output=True, text=True, check=False).stdout.split()
def window(name):
    end = time.monotonic() + 30
    while time.monotonic() < end and running.poll() is None:
        if found := xdotool('search', '--name', name):
            time.sleep(0.5)
            return found[-1]
        time.sleep(0.2)
    raise SystemExit(f'no window {name}')
views = window('^align cameras$')
def click(x, y):
    pause = ('sleep', 0.1)
    xdotool('mousemove', '--window', views, x, y, *pause, 'mousedown', 1, *pause, 'mouseup', 1, *pause)
for visible, thermal in json.loads(pairs):
    click(*visible)
    click(*thermal)
xdotool('key', '--window', views, 'u')
time.sleep(0.3)
xdotool('key', '--window', views, 's')
xdotool('key', '--window', window('q closes'), 'q')
sys.exit(running.wait(timeout=20))
"""


@needs_display
def test_clicks_in_a_real_window_make_the_homography(tmp_path: Path) -> None:
    for modality in MODALITIES:
        (tmp_path / modality).mkdir()
        picture = np.random.default_rng(0).integers(0, 255, (240, 320), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / modality / "0.png"), picture)
    # the window shows the frames twice as large, the thermal one 646 to the right; the last pair is taken back
    rows = [((100, 400), (720, 380)), ((560, 440), (1180, 420)), ((520, 200), (1140, 180)), ((160, 220), (780, 200)),
            ((330, 330), (950, 310)), ((10, 10), (700, 400))]  # fmt: skip
    words = ["--visible", tmp_path / "visible", "--thermal", tmp_path / "thermal", "--offline", "--click"]
    command = [sys.executable, "-c", CLICKING, APP, json.dumps(rows), *words, "--out", tmp_path / "h.json"]
    done = subprocess.run(
        ["xvfb-run", "-a", "-s", "-screen 0 1400x1000x24", *map(str, command)],
        env=environment(QT_X11_NO_MITSHM="1"), capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pairs = json.loads((tmp_path / "h.pairs.json").read_text())["pairs"]
    assert [pair["visible"] for pair in pairs] == [[x / 2, y / 2] for (x, y), _ in rows[:5]]
    assert [pair["thermal"] for pair in pairs] == [[(x - 646) / 2, y / 2] for _, (x, y) in rows[:5]]
    ground = GroundPlane.read(tmp_path / "h.json")
    shifted = np.array([[100.0, 100.0], [200.0, 150.0]])
    np.testing.assert_allclose(ground.across(shifted, "visible")[0], np.subtract(shifted, (13, 10)), atol=0.01)
    assert (tmp_path / "h.png").exists()


@pytest.mark.parametrize("words", calls_of_script("align_cameras.py"), ids=" ".join)
def test_every_call_in_the_readme_is_understood(words: list[str]) -> None:
    assert tyro.cli(align_cameras.Options, args=words).out.suffix == ".json"
