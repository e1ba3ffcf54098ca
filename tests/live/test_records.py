from __future__ import annotations

import os
import resource
from pathlib import Path

import cv2
import numpy as np
import pytest
from walkers import Film, embed

from edge_reid.errors import UserError
from edge_reid.live.drawing import Canvas, color_of, plain
from edge_reid.live.meter import Meter
from edge_reid.live.recording import MOST_WAITING, Recording, recording
from edge_reid.live.records import track_files
from edge_reid.live.video import Video
from edge_reid.people.view import Couple, Event, Expected, Sighting, View
from edge_reid.types import Modality

NOBODY: dict[Modality, list[Expected]] = {"visible": [], "thermal": []}

BOX = np.array([20, 30, 60, 130], np.float32)


@pytest.fixture
def film() -> Film:
    return Film()


def view() -> View:
    known = Sighting(3, BOX, 0.9, 1, 0.0, True)
    unknown = Sighting(4, BOX + 150, 0.9, None, 0.0, False)
    return View({"visible": [known, unknown], "thermal": [known]}, [Couple(3, 3, 1, 0.77)], NOBODY, [], {"embed": 2.0})


def test_a_recording_that_is_behind_drops_and_never_holds_up_a_live_run(tmp_path: Path) -> None:
    video = Recording(Video(tmp_path / "out.avi", 100.0), patient=False)
    picture = np.full((480, 640, 3), 80, np.uint8)
    for index in range(20 * MOST_WAITING):
        video.write(picture, index / 10)  # ten frames each to encode
    assert video.dropped > 10 * MOST_WAITING
    video.stop()


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_a_recording_keeps_the_time_of_the_stream(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{suffix}"
    with recording(path, 10.0, patient=True) as video:
        assert video is not None
        for time in (0.0, 0.1, 0.13, 0.4, 30.0):
            video.write(np.full((64, 96, 3), 80, np.uint8), time)
        assert not path.exists()
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    count = 0
    while capture.read()[0]:
        count += 1
    assert count == 5 + 10, "0.0 to 0.4 in steps of a tenth, then the outage cut to a second"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_recording_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), recording(tmp_path / "out.avi", 10.0, patient=True) as video:
        assert video is not None
        video.write(np.zeros((64, 96, 3), np.uint8), 0.0)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_recording_that_was_cut_short_is_not_passed_on(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="not written whole; free some disk space"),
        recording(tmp_path / "out.avi", 10.0, patient=True) as video,
    ):
        assert video is not None
        for index in range(40):
            video.write(np.random.default_rng(index).integers(0, 255, (64, 64, 3), dtype=np.uint8), index / 10)
        video.stop()
        (temporary,) = tmp_path.iterdir()
        video._video._writer.release()  # type: ignore[union-attr]  # so that what a full disk leaves can be imitated
        os.truncate(temporary, temporary.stat().st_size // 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_a_recording_on_a_full_disk_is_not_passed_on(suffix: str, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with (
            pytest.raises(UserError, match="not written whole; free some disk space"),
            recording(tmp_path / f"out{suffix}", 10.0, patient=True) as video,
        ):
            assert video is not None
            for index in range(100):
                video.write(np.random.default_rng(index).integers(0, 255, (64, 96, 3), dtype=np.uint8), index / 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_other_video_formats_are_refused_before_the_work(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"--record .*out.mkv: unknown kind of video"),
        recording(tmp_path / "out.mkv", 10.0, patient=True),
    ):
        pass


def test_tracks_are_mot_text_and_links_name_both_ends(tmp_path: Path, film: Film) -> None:
    frames = {"visible": film.frame(0, "visible"), "thermal": film.frame(0, "thermal")}
    with track_files(tmp_path / "tracks") as files:
        assert files is not None
        files.write(frames, view())
        files.write({"visible": film.frame(1, "visible")}, view())
    lines = (tmp_path / "tracks" / "visible.txt").read_text().splitlines()
    assert lines[0] == "1,3,20.0,30.0,40.0,100.0,0.900,-1,-1,-1"
    assert [line.split(",")[0] for line in lines] == ["1", "1", "2", "2"]
    assert (tmp_path / "tracks" / "links.txt").read_text() == "1,1,3,3,1,0.7700\n"


def test_older_tracks_are_replaced_but_nothing_else_is(tmp_path: Path) -> None:
    folder = tmp_path / "tracks"
    for _ in range(2):
        with track_files(folder):
            pass
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="holds other things than tracks"), track_files(folder):
        pass
    assert (folder / "thesis.tex").exists()


def test_the_picture_keeps_its_size_whatever_comes(film: Film) -> None:
    canvas = Canvas()
    nothing = View({"visible": [], "thermal": []}, [], NOBODY, [], {})
    canvas.take({"visible": film.image(20, "visible")})
    first = canvas.draw(nothing, {}, {}, "status")
    canvas.take({"visible": np.zeros((1080, 1920, 3), np.uint8), "thermal": film.image(20, "thermal")})
    assert canvas.draw(view(), {}, {}, "status").shape == first.shape == (520, 1286, 3)
    assert canvas.draw(view(), {}, {}).shape == (480, 1286, 3)


def test_a_name_is_shown_in_both_views_and_a_camera_that_is_gone_is_dark() -> None:
    canvas = Canvas()
    canvas.take({modality: np.full((480, 640, 3), 90, np.uint8) for modality in ("visible", "thermal")})
    plainly, named = canvas.draw(view(), {}, {}), canvas.draw(view(), {1: "Zoë"}, {})
    for half in (slice(0, 640), slice(646, None)):
        assert (plainly[:, half] != named[:, half]).any()
    gone = canvas.draw(view(), {}, {"thermal": "camera lost"})
    assert tuple(gone[240, 1200]) == (30, 30, 30)
    assert tuple(gone[240, 600]) == (90, 90, 90)


def test_letters_that_opencv_cannot_draw_are_replaced() -> None:
    assert plain("Zoë Åberg 李") == "Zoe Aberg ."


def test_a_person_has_one_color_in_both_views_and_strangers_are_grey(film: Film) -> None:
    canvas = Canvas()
    canvas.take({modality: np.zeros((480, 640, 3), np.uint8) for modality in ("visible", "thermal")})
    picture = canvas.draw(view(), {}, {}, "status")
    # the lower edge of the boxes, away from labels and links
    assert tuple(picture[130, 30]) == tuple(picture[130, 646 + 30]) == color_of(1)
    assert len(set(picture[280, 190].tolist())) == 1, "grey"


def test_successive_people_differ_in_color() -> None:
    colors = np.array([color_of(number) for number in range(1, 40)], np.float64)
    for apart in (1, 2, 3, 4):
        assert np.linalg.norm(colors[apart:] - colors[:-apart], axis=1).min() > 60


def test_the_meter_counts_frames_events_and_means() -> None:
    meter = Meter()
    for spent in (2.0, 4.0):
        meter.add(("visible", "thermal"), {"embed": spent})
    meter.add(("thermal",), {"embed": 0.0})
    meter.count(Event("track_started", 0.0, {"camera": "thermal"}))
    meter.count(Event("matched", 0.0, {"person": 1}))
    meter.count(Event("matched", 1.0, {"person": 1}))
    summary = meter.summary()
    assert summary["frames"] == {"visible": 2, "thermal": 3}
    assert summary["tracks"] == {"visible": 0, "thermal": 1}
    assert (summary["matches"], summary["people"]) == (2, 1)
    assert summary["milliseconds"] == {"embed": 2.0}
    assert meter.percentiles("embed") == {"mean": 2.0, "p50": 2.0, "p95": 3.8, "max": 4.0}
    assert meter.percentiles("draw") == {}


def test_the_meter_counts_matched_people_for_weeks_and_keeps_the_numbers_of_those_in_the_gallery_alone() -> None:
    meter = Meter()
    newest = range(0)
    for day in range(30):
        newest = range(100 * day, 100 * day + 150)  # fifty of them come again on the next day
        for person in newest:
            meter.count(Event("matched", 0.0, {"person": person}))
        meter.settle(newest)
    assert meter.summary()["people"] == 30 * 100 + 50
    assert meter._people == set(newest)


def test_the_fake_network_tells_the_walkers_apart() -> None:
    crops = np.stack([np.full((32, 16), shade, np.uint8) for shade in (170, 205, 240)])
    assert np.allclose(embed(crops), np.eye(3), atol=0.01)
