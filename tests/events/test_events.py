from __future__ import annotations

import functools
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from listeners import wait_for

from edge_reid.errors import UserError
from edge_reid.events import delivery, feeder
from edge_reid.events.events import Events
from edge_reid.events.log import Rotation
from edge_reid.events.outbox import Message, Outbox
from edge_reid.events.schema import parse


class Peer:
    kind = "peer"
    name = "peer of the test"
    most = 100

    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.away = False

    def deliver(self, messages: Sequence[Message]) -> None:
        if self.away:
            raise delivery.Unreachable("nobody there")
        self.taken += messages

    def close(self) -> None:
        pass


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def has_written(events: Events, count: int) -> bool:
    return events.counts()["written"] == count


def has_handed_over(peer: Peer, count: int) -> bool:
    return len(peer.taken) >= count


def test_events_become_lines_that_follow_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    events = Events(path)
    events.write("started", 0.0, {"version": "0.1.0"})
    events.write("person_entered", 1.23456, {"camera": "visible", "person": 3})
    wait_for(lambda: len(path.read_text().splitlines()) == 2)  # it is there before anything is closed
    events.close()
    first, second = (parse(line) for line in path.read_text().splitlines())
    assert (first.id, second.id) == (f"{events.run}-000000001", f"{events.run}-000000002")
    assert second.model_dump(include={"run", "event", "stream_time", "camera", "person"}) == {
        "run": events.run, "event": "person_entered", "stream_time": 1.235, "camera": "visible", "person": 3,
    }  # fmt: skip
    assert events.counts() == {"written": 2, "lost": 0, "in_memory": 0}


def test_without_a_file_nobody_is_told(tmp_path: Path) -> None:
    events = Events(None)
    events.write("started", 0.0, {"version": "0.1.0"})
    events.close()
    assert events.counts() == {}
    with pytest.raises(UserError, match="give --events FILE, too"):
        Events(None, [Peer()])


def test_names_are_there_only_where_they_were_asked_for(tmp_path: Path) -> None:
    details: dict[str, Any] = {
        "camera": "visible", "track": 1, "person": 3, "name": "Ada", "score": 0.7, "modality": "thermal",
    }  # fmt: skip
    for names in (False, True):
        path = tmp_path / f"{names}.jsonl"
        events = Events(path, names=names)
        events.write("identified", 0.0, details)
        events.close()
        assert ("Ada" in path.read_text()) == names
        parse(path.read_bytes())


def test_a_run_differs_from_the_next_in_its_name_and_the_time_of_day_alone(tmp_path: Path) -> None:
    runs = []
    for name in ("first.jsonl", "second.jsonl"):
        events = Events(tmp_path / name)
        for step in range(500):
            events.write("person_entered", step / 25, {"camera": "visible", "person": step})
        events.close()
        runs.append([line | {"wall_time": ""} for line in lines_of(tmp_path / name)])
        for line in runs[-1]:
            assert line.pop("id").startswith(line.pop("run"))
    assert runs[0] == runs[1]


def test_threads_get_numbers_in_the_order_of_the_lines(tmp_path: Path) -> None:
    events = Events(tmp_path / "events.jsonl")

    def tell() -> None:
        for step in range(300):
            events.write("person_entered", step / 25, {"camera": "visible", "person": step})

    threads = [threading.Thread(target=tell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events.close()
    assert [int(line["id"][-9:]) for line in lines_of(tmp_path / "events.jsonl")] == list(range(1, 1201))


def test_receivers_get_each_line_under_its_topic(tmp_path: Path) -> None:
    path, peer = tmp_path / "events.jsonl", Peer()
    events = Events(path, [peer])
    events.write("started", 0.0, {"version": "0.1.0"})
    events.write("source_lost", 1.0, {"camera": "thermal"})
    events.close()
    assert [message.topic for message in peer.taken] == ["app/started", "thermal/source_lost"]
    assert [message.payload.decode() for message in peer.taken] == path.read_text().splitlines()
    assert [message.key for message in peer.taken] == [line["id"] for line in lines_of(path)]
    counts = {"peer_waiting": 0, "peer_delivered": 2, "peer_refused": 0, "peer_dropped": 0}
    assert events.counts() == {"written": 2, "lost": 0, "in_memory": 0} | counts


def test_what_a_receiver_missed_follows_in_the_next_run(tmp_path: Path) -> None:
    path, peer = tmp_path / "events.jsonl", Peer()
    peer.away = True
    for _ in range(3):
        events = Events(path, [peer])
        for step in range(40):
            events.write("person_entered", step / 25, {"camera": "visible", "person": step})
        events.close(2.0)
    assert peer.taken == []
    peer.away = False
    Events(path, [peer]).close()
    assert [message.key for message in peer.taken] == [line["id"] for line in lines_of(path)]


@pytest.mark.parametrize("handed_on", [0, 1])
def test_lines_that_a_kill_kept_from_the_outbox_are_handed_over_by_the_next_run(handed_on: int, tmp_path: Path) -> None:
    path, peer = tmp_path / "events.jsonl", Peer()
    rotation = Rotation(file_bytes=2000)
    Events(path, [peer], rotation=rotation).close()
    events = Events(path, [peer], rotation=rotation)
    for _ in range(handed_on):
        events.write("started", 0.0, {"version": "0.1.0"})
    events.close()
    # as if the kill had come between lines and their messages
    line = {"schema": 2, "id": "", "event": "started"}
    with path.open("ab") as file:
        for number in range(1 + handed_on, 32):
            file.write(json.dumps(line | {"id": f"{events.run}-{number:09d}"}).encode() + b"\n")
    # a run without the receiver is none of its business
    without = Events(path, rotation=rotation)
    without.write("started", 0.0, {"version": "0.1.0"})
    without.close()
    after = Events(path, [peer], rotation=rotation)
    after.write("started", 0.0, {"version": "0.1.0"})
    after.close()
    wanted = [f"{events.run}-{number:09d}" for number in range(1, 32)] + [f"{after.run}-000000001"]
    assert [message.key for message in peer.taken] == wanted


def test_a_receiver_that_is_added_later_is_told_what_happens_from_then_on(tmp_path: Path) -> None:
    path, peer = tmp_path / "events.jsonl", Peer()
    for receivers in ([], [peer]):
        events = Events(path, receivers)
        events.write("started", 0.0, {"version": "0.1.0"})
        events.close()
    assert [message.key for message in peer.taken] == [f"{events.run}-000000001"]


def test_a_torn_line_is_removed_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"schema": 2, "id": "20261121T1015')
    Events(path).close()
    (line,) = lines_of(path)
    assert (line["event"], line["count"], line["reason"]) == ("lost", 1, "torn")
    parse(path.read_bytes())
    assert "the last line was cut short" in caplog.text


def test_what_cannot_be_used_is_refused_and_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    (tmp_path / "events.jsonl.outbox").write_text("not a folder")
    with pytest.raises(UserError, match="cannot be written"):
        Events(path, [Peer()])
    Events(path).close()  # the file is free again


def test_an_outbox_that_fell_behind_catches_up_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path, peer = tmp_path / "events.jsonl", Peer()
    events = Events(path, [peer])
    events.write("started", 0.0, {"version": "0.1.0"})
    wait_for(lambda: len(peer.taken) == 1)
    outbox: Outbox = events._deliverers[0].outbox
    (pages,) = outbox._connection.execute("PRAGMA page_count").fetchone()
    outbox._connection.execute(f"PRAGMA max_page_count = {pages}")  # as a full disk: SQLite says the same
    big = {"version": "x" * 20_000}
    for _ in range(5):
        events.write("started", 0.0, big)
    wait_for(lambda: events.counts()["written"] == 6)
    wait_for(lambda: "outbox of peer cannot be written (database or disk is full)" in caplog.text)
    assert len(peer.taken) == 1
    outbox._connection.execute("PRAGMA max_page_count = 1000000")
    events.write("stopped", 1.0, {"reason": "ended"})
    wait_for(lambda: len(peer.taken) == 7)
    events.close()
    assert [message.key for message in peer.taken] == [line["id"] for line in lines_of(path)]


def test_an_outbox_that_is_slow_holds_up_no_line_and_gets_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeder, "MOST_BATCHES", 2)
    path, peer = tmp_path / "events.jsonl", Peer()
    events = Events(path, [peer])
    told = 0
    for _ in range(4):
        with events._deliverers[0].outbox._lock:  # as a disk that takes its time
            for _ in range(30):
                told += 1
                events.write("person_entered", told / 25, {"camera": "visible", "person": told})
                wait_for(functools.partial(has_written, events, told))
        wait_for(functools.partial(has_handed_over, peer, told))
    events.close()
    assert [message.key for message in peer.taken] == [line["id"] for line in lines_of(path)]


def test_many_runs_leave_no_thread_and_no_file_open(tmp_path: Path) -> None:
    before = held()
    for _ in range(10):
        events = Events(tmp_path / "events.jsonl", [Peer()])
        events.write("started", 0.0, {"version": "0.1.0"})
        events.close()
    assert held() == before


def held() -> tuple[int, int]:
    """Threads and open files of this process."""
    files = Path("/proc/self/fd")
    return threading.active_count(), len(list(files.iterdir())) if files.exists() else 0
