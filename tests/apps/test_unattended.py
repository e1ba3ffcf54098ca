"""The app as it runs for weeks: with a page, a gallery on disk and events, until it is stopped or killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
import pytest

from edge_reid.errors import UserError
from edge_reid.events.schema import parse as parse_event
from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.live.check import check
from edge_reid.live.networks import open_networks
from edge_reid.live.options import Options
from edge_reid.live.run import run as follow
from edge_reid.types import MODALITIES
from edge_reid.web.keys import ENVIRONMENT

ROOT = Path(__file__).parents[2]

RUNNING = """
import json, logging, sys
sys.path.insert(0, sys.argv[1])
import walkers
from pathlib import Path
from edge_reid.live.options import read_options
from edge_reid.live.run import work
logging.basicConfig()
print(json.dumps(work(read_options(Path(sys.argv[2])), walkers.networks())))
"""

Found = TypeVar("Found")


class App:
    """The app in a process of its own on two walkers' films that play for ever."""

    def __init__(self, folder: Path, videos: Path, **options: Any) -> None:
        self.events = folder / "events.jsonl"
        self.gallery = folder / "people.sqlite"
        self._errors = folder / "errors.txt"
        films = {modality: f"{videos / modality}.avi?loop=1" for modality in MODALITIES}
        files = {"events": str(self.events), "gallery": str(self.gallery)}
        written: dict[str, Any] = films | files | {"headless": True} | options
        config = folder / "app.toml"
        config.write_text("\n".join(f"{name} = {json.dumps(value)}" for name, value in written.items()))
        command = [sys.executable, "-c", RUNNING, str(ROOT / "tests" / "people"), str(config)]
        kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
        with self._errors.open("w") as errors:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, env=kept | {"PYTHONPATH": str(ROOT)}
            )

    @property
    def lines(self) -> list[str]:
        """The lines of the file of events so far."""
        return self.events.read_text().splitlines() if self.events.exists() else []

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    def told(self, name: str) -> list[dict[str, Any]]:
        """The events of a kind so far."""
        return [event for event in map(json.loads, self.lines) if event["event"] == name]

    def wait_for(self, find: Callable[[], Found], seconds: float = 60.0) -> Found:
        """What `find` gives once it gives something."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := find():
                return found
            assert self.process.poll() is None, self.errors
            time.sleep(0.1)
        raise AssertionError(f"waited in vain\n{self.errors}")

    def stop(self) -> dict[str, Any]:
        """End it in good order; returns the summary."""
        self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, self.errors
        summary: dict[str, Any] = json.loads(output.splitlines()[-1])
        return summary


@contextmanager
def running(folder: Path, videos: Path, **options: Any) -> Iterator[App]:
    app = App(folder, videos, **options)
    try:
        yield app
    finally:
        app.process.kill()
        app.process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_who_is_on_the_page_can_be_named_and_forgotten(videos: Path, tmp_path: Path) -> None:
    with running(tmp_path, videos, web=True, web_address="127.0.0.1:0") as app:
        line = app.wait_for(lambda: next((one for one in app.errors.splitlines() if "page at" in one), ""))
        address, _, secret = line.split("page at ")[1].partition("#")
        token = secret.partition("=")[2] or secret
        with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}) as page:
            app.wait_for(lambda: app.told("matched"))
            track = app.told("matched")[0]["visible_track"]
            enrolment = {"modality": "visible", "track": track, "name": "Ada"}
            answer = page.post("/api/people", json=enrolment)
            assert answer.status_code == 201, answer.text
            number = answer.json()["person"]
            found = page.get("/api/people", params={"search": "ada"}).json()["people"]
            assert [person["person"] for person in found] == [number]
            # the films play for ever, so Ada comes again
            app.wait_for(lambda: [e for e in app.told("identified") if e["person"] == number])
            app.wait_for(lambda: page.get("/api/history", params={"person": number}).json()["visits"])
            picture = page.get("/live.jpg")
            assert picture.content[:2] == b"\xff\xd8"
            metrics = page.get("/metrics").text
            assert 'edge_reid_camera_fps{camera="visible"}' in metrics
            assert page.get("/healthz").text.strip() == "ok"
            assert page.delete(f"/api/people/{number}").status_code == 204
            assert page.get("/api/people", params={"search": "ada"}).json()["people"] == []
        summary = app.stop()
    assert summary["cameras"]["visible"]["received"] > 60
    for written in app.events.read_text().splitlines():
        parse_event(written)
    with pytest.raises(KeyError):
        SqliteGallery(app.gallery).person(number)


def test_people_of_one_run_are_known_in_the_next(videos: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    with running(first, videos) as app:
        app.wait_for(lambda: len(app.told("track_lost")) >= 6)
        people = {event["person"] for event in app.told("person_new")}
        app.stop()
    with running(second, videos, gallery=str(first / "people.sqlite")) as app:
        app.wait_for(lambda: len({event["person"] for event in app.told("identified")}) == 3)
        assert app.told("person_new") == []
        assert {event["person"] for event in app.told("identified")} <= people
        app.stop()


def test_killed_at_any_moment_nothing_committed_is_lost(videos: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    lines: list[str] = []
    for _ in range(3):
        with running(tmp_path, videos) as app:
            app.wait_for(lambda: app.told("person_new") or app.told("identified"))
            time.sleep(float(rng.uniform(1.0, 2.0)))
            before = app.lines
            app.process.kill()
            app.process.wait()
        assert app.lines[: len(before) - 1] == before[:-1], "the last may have been read half written"
        assert app.lines[: len(lines)] == lines
        lines = app.lines
    events = [json.loads(line) for line in lines]
    identifiers = [event["id"] for event in events]
    assert len(identifiers) == len(set(identifiers)) > 12
    for run in {event["run"] for event in events}:
        numbers = [int(event["id"].rpartition("-")[2]) for event in events if event["run"] == run]
        assert numbers == list(range(1, len(numbers) + 1)), "none lost, none doubled"
    assert SqliteGallery(tmp_path / "people.sqlite").count() >= 1


def test_a_check_says_what_a_run_would_do_and_leaves_nothing(videos: Path, tmp_path: Path) -> None:
    options = Options(
        visible=str(videos / "visible.avi"), thermal=str(videos / "thermal.avi"),
        gallery=str(tmp_path / "people.gallery"), events=tmp_path / "events.jsonl",
        web=True, web_address=f"127.0.0.1:{free_port()}", detector="motion?every=2", check=True,
    )  # fmt: skip
    lines = check(options)
    assert lines == check(options), "a look takes nothing: the page's port is free again"
    told = "\n".join(lines)
    for words in ("visible network: ", "320 x 240, 8 bits, 10.0 frames", "one frame in 2", "to be made", "page: on "):
        assert words in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"visible": "nowhere.mp4"}, "nowhere.mp4"),
        ({"thermal": "rtsp://"}, "rtsp"),
        ({"detector": "motoin"}, "motoin"),
        ({"thermal_detector": "onnx:nowhere.onnx"}, "nowhere.onnx"),
        ({"visible_detector": "hot"}, "warmth"),
        ({"homography": Path("nowhere.json")}, "nowhere.json"),
        ({"events": Path("/proc/e.jsonl")}, "--events"),
        ({"web": True, "web_address": "8080"}, "--web-address"),
        ({"web": True, "web_address": "203.0.113.7:0"}, "203.0.113.7 port 0"),
        ({"webhook": "http://127.0.0.1/"}, "--events FILE"),
        ({"mqtt": "tcp://x", "events": Path("e.jsonl")}, "mqtt"),
        ({"record": Path("out.txt")}, "out.txt"),
        ({"record_gigabytes": 1.0}, "give --record FILE"),
        ({"gallery": "/proc/people.gallery"}, "--gallery"),
        ({"engine": "tensorrt"}, "tensorrt"),
        ({"tracks": ROOT / "docs"}, "--tracks"),
        ({"events": ROOT / "docs"}, "is a folder"),
        ({"gallery": "g.gallery", "gallery_key": Path("nowhere.key")}, "nowhere.key"),
        ({"web": True, "web_token": Path("nowhere.token")}, "nowhere.token"),
    ],
    ids=str,
)
def test_a_check_names_what_is_wrong_in_one_line(changes: dict[str, Any], message: str, videos: Path) -> None:
    good: dict[str, Any] = {"visible": str(videos / "visible.avi"), "thermal": str(videos / "thermal.avi")}
    with pytest.raises(ValueError) as error:
        check(Options(**good | changes))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_check_and_a_run_refuse_an_address_of_the_page_in_the_same_words(
    videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        for address, message in (
            (taken, "address already in use; choose another"),
            ("0.0.0.0:0", f"set {ENVIRONMENT} or name a token file"),
        ):
            options = Options(
                visible=str(videos / "visible.avi"), thermal=str(videos / "thermal.avi"), headless=True, max_frames=1,
                web=True, web_address=address,
            )  # fmt: skip
            told = []
            for refused in (check, follow):
                with pytest.raises(UserError, match=message) as error:
                    refused(options)
                told.append(str(error.value))
            assert told[0] == told[1]


def test_a_check_warns_as_a_run_does_that_others_can_reach_the_page(
    videos: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(ENVIRONMENT, "correct-horse-battery-staple")
    check(
        Options(
            visible=str(videos / "visible.avi"), thermal=str(videos / "thermal.avi"), web=True, web_address="0.0.0.0:0"
        )
    )
    assert "not encrypted" in caplog.text


@pytest.mark.parametrize("threshold", [0.1, 0.9])
def test_a_threshold_is_what_couples_in_view_are_held_to(threshold: float) -> None:
    options = Options(visible="a", thermal="b", threshold=threshold)
    with open_networks(options) as networks:
        assert networks.rule.between.unknown == threshold
        assert networks.rule.between.accept >= threshold
