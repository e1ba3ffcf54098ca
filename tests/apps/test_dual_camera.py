from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import walkers
from documented import calls_of_script
from scripts import environment

from edge_reid.cameras.geometry import GroundPlane
from edge_reid.live.networks import open_networks
from edge_reid.live.options import Options, parse
from edge_reid.live.run import work as follow
from edge_reid.types import MODALITIES

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "real"
APP = ROOT / "apps" / "dual_camera.py"

needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"the real pictures are not at {REAL}")


def work(visible: Path | str, thermal: Path | str, **options: Any) -> dict[str, Any]:
    chosen = Options(visible=str(visible), thermal=str(thermal), headless=True, **options)
    result: dict[str, Any] = follow(chosen, walkers.networks())
    return result


def events_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_two_videos_become_events_tracks_and_a_picture_of_who_is_who(videos: Path, tmp_path: Path) -> None:
    summary = work(
        videos / "visible.avi", videos / "thermal.avi", offline=True,
        events=tmp_path / "events.jsonl", record=tmp_path / "out.avi", tracks=tmp_path / "tracks",
    )  # fmt: skip
    assert summary["frames"] == {"visible": 60, "thermal": 60}
    assert (summary["matches"], summary["people"]) == (3, 3)
    names = [event["event"] for event in events_of(tmp_path / "events.jsonl")]
    assert names.count("matched") == 3
    assert names.count("track_started") == names.count("track_lost") == 6
    assert names.count("source_ended") == 2
    assert cv2.VideoCapture(str(tmp_path / "out.avi")).get(cv2.CAP_PROP_FRAME_COUNT) == 60
    assert (tmp_path / "tracks" / "links.txt").read_text().count("\n") > 60


def test_a_recording_in_parts_is_the_same_in_files_named_for_their_time(videos: Path, tmp_path: Path) -> None:
    summary = work(
        videos / "visible.avi", videos / "thermal.avi", offline=True, record=tmp_path / "out.avi", record_gigabytes=0.1
    )
    assert summary["files"] == {"record": str(tmp_path / "out-*.avi")}
    (part,) = tmp_path.glob("out-*.avi")
    assert cv2.VideoCapture(str(part)).get(cv2.CAP_PROP_FRAME_COUNT) == 60
    assert sorted(tmp_path.iterdir()) == [tmp_path / ".out.avi.lock", part]


@pytest.mark.parametrize(("down", "matches"), [(0.0, 3), (120.0, 0)])
def test_people_at_different_places_are_not_matched(videos: Path, tmp_path: Path, down: float, matches: int) -> None:
    shift = np.array([[1.0, 0.0, 10.0], [0.0, 1.0, down], [0.0, 0.0, 1.0]])
    GroundPlane(shift, dict.fromkeys(MODALITIES, (240, 320))).write(tmp_path / "homography.json")
    summary = work(
        videos / "visible.avi", videos / "thermal.avi", offline=True, homography=tmp_path / "homography.json"
    )
    assert summary["matches"] == matches


def test_offline_runs_are_the_same_every_time(videos: Path, tmp_path: Path) -> None:
    for run in ("a", "b"):
        work(videos / "visible.avi", videos / "thermal.avi", offline=True, tracks=tmp_path / run)
    for name in ("visible.txt", "thermal.txt", "links.txt"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_files_at_their_own_pace_end_too(videos: Path, tmp_path: Path) -> None:
    summary = work(videos / "visible.avi", videos / "thermal.avi", events=tmp_path / "e.jsonl")
    assert 0 < min(summary["frames"].values()) <= max(summary["frames"].values()) <= 60
    assert summary["seconds"] > 5, "six seconds at ten frames a second"
    ended = [event["camera"] for event in events_of(tmp_path / "e.jsonl") if event["event"] == "source_ended"]
    assert sorted(ended) == ["thermal", "visible"]


def test_a_live_run_stops_after_so_many_frames(videos: Path) -> None:
    summary = work(videos / "visible.avi", videos / "thermal.avi", max_frames=5)
    assert 0 < max(summary["frames"].values()) <= 5


def test_a_video_that_ends_early_stops_nothing(videos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "short"
    folder.mkdir()
    for index in range(3):
        cv2.imwrite(str(folder / f"{index}.png"), np.zeros((240, 320), np.uint16))
    summary = work(videos / "visible.avi", folder, offline=True, events=tmp_path / "e.jsonl")
    assert summary["frames"] == {"visible": 60, "thermal": 3}
    ended = [event["camera"] for event in events_of(tmp_path / "e.jsonl") if event["event"] == "source_ended"]
    assert ended == ["thermal", "visible"]


@pytest.mark.parametrize("display", [{}, {"DISPLAY": ":987"}], ids=["no display", "a display that is not there"])
def test_without_a_display_there_is_no_window_and_no_abort(display: dict[str, str]) -> None:
    script = "from edge_reid.live.window import can_show; print(can_show())"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(**display), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr


RUNNING = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import walkers
from edge_reid.live.options import Options
from edge_reid.live.run import work
folder, out = (pathlib.Path(name) for name in sys.argv[2:4])
options = Options(visible=str(folder / 'visible.avi'), thermal=str(folder / 'thermal.avi'),
                  events=out / 'events.jsonl', record=out / 'out.avi')
print(work(options, walkers.networks()))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_whole_files(number: signal.Signals, videos: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUNNING, str(ROOT / "tests" / "people"), str(videos), str(tmp_path)]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    events = tmp_path / "events.jsonl"
    end = time.monotonic() + 30
    while time.monotonic() < end and not (events.exists() and "track_started" in events.read_text()):
        time.sleep(0.05)
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert "no display here, running headless" in errors
    assert "'frames'" in output
    assert events_of(events)[-1]["event"] == "stopped"
    assert events_of(events)[-1]["reason"] == "requested"
    assert cv2.VideoCapture(str(tmp_path / "out.avi")).read()[0]
    left = sorted(path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock"))
    assert left == ["events.jsonl", "out.avi"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--visible", "a.mp4", "--thermal", "b.mp4", "--bundle", "nowhere"], "nowhere"),
        (["--visible", "a.mp4", "--thermal", "b.mp4", "--bundle", "{damaged}"], "manifest.json"),
    ],
)
def test_a_bad_bundle_is_one_line_and_exit_code_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "manifest.json").write_text("{}")
    words = [word.format(damaged=tmp_path / "damaged") for word in arguments]
    done = subprocess.run(
        [sys.executable, str(APP), *words], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert message in done.stderr


VISITS = ((66, 196), (231, 447), (509, 696), (748, 866), (935, 1196), (1240, 1359))
"""First and last frame of each of the clip's six people."""


@needs_real
def test_six_people_of_a_real_clip_are_six_people(tmp_path: Path) -> None:
    clip, blank = REAL / "video" / "one-by-one-person-detection.mp4", tmp_path / "blank"
    blank.mkdir()
    cv2.imwrite(str(blank / "0.png"), np.full((432, 768), 40, np.uint8))
    detector = f"onnx:{REAL / 'detector' / 'yolox_nano_416.onnx'}?every=3"
    out = tmp_path / "tracks"
    options = Options(
        visible=str(clip),
        thermal=str(blank),
        offline=True,
        headless=True,
        detector=detector,
        tracks=out,
    )
    with open_networks(options) as networks:
        follow(options, networks)
    tracks: dict[int, set[int]] = {}
    for line in (out / "visible.txt").read_text().splitlines():
        frame, track = map(int, line.split(",")[:2])
        tracks.setdefault(track, set()).add(frame)
    visits = [[t for t, seen in tracks.items() if seen & set(range(first, last))] for first, last in VISITS]
    assert [len(visit) for visit in visits] == [1] * 6, "one track each"
    assert len({track for (track,) in visits}) == 6, "and none of two visits"
    people: dict[int, set[int]] = {}
    for line in (out / "people.txt").read_text().splitlines():
        _, _, track, person = map(int, line.split(","))
        people.setdefault(track, set()).add(person)
    assert all(len(numbers) == 1 for numbers in people.values()), "nobody becomes somebody else"
    assert len(set.union(*people.values())) == len(people) >= 3, "and nobody is two visitors"


@needs_real
def test_real_visible_and_thermal_pairs_are_a_source_and_people_are_found_in_both(tmp_path: Path) -> None:
    from edge_reid.cameras.pairing import Pairing
    from edge_reid.cameras.sources import open_source
    from edge_reid.people.detection import load_detector

    detector = load_detector(f"onnx:{REAL / 'detector' / 'yolox_nano_416.onnx'}", "visible")
    pairing = Pairing(
        open_source(f"{REAL / 'kaist'}/*_visible.png", "visible", offline=True),
        open_source(f"{REAL / 'kaist'}/*_lwir.png", "thermal", offline=True),
    )
    pairs, found = 0, dict.fromkeys(MODALITIES, 0)
    while not pairing.ended:
        if (pair := pairing.read()) is None:
            continue
        pairs += 1
        for modality, frame in pair.frames.items():
            assert frame.image.shape[:2] == (512, 640)
            found[modality] += len(detector.detect(frame.image).boxes)
    assert pairs == 8
    assert min(found.values()) >= 3
    pattern = str(REAL / "kaist" / "*_{}.png")
    summary = work(pattern.format("visible"), pattern.format("lwir"), offline=True, record=tmp_path / "kaist.avi")
    assert summary["frames"] == {"visible": 8, "thermal": 8}


@pytest.mark.parametrize("words", calls_of_script("dual_camera.py"), ids=" ".join)
def test_every_call_of_the_app_in_the_readme_and_the_demo_is_understood(words: list[str]) -> None:
    options = parse(None, words)
    assert options.visible.endswith("visible.avi") or options.fleet
