"""What the page is told, and what it asks of the app."""

from __future__ import annotations

import json
import threading
import time

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from stage import BEARER, Memory, get, now, picture, stage

from edge_reid.web.board import Board, CameraNow, QueueNow
from edge_reid.web.server import Server


def test_the_state_is_told_again_and_again(browser: httpx.Client, running: tuple[Server, Board, Memory]) -> None:
    _, board, _ = running
    with browser.stream("GET", "/api/live") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        states = (json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: "))
        first = next(states)
        board.publish(now(pair_offset=float("nan"), celsius=None, present=()))
        while (later := next(states))["now"]["present"]:
            pass
    assert first["health"] == "ok"
    assert first["silence"] is None
    assert [person["name"] for person in first["now"]["present"]] == ["Anna Lindqvist", None, None]
    assert first["now"]["present"][2]["tracks"] == {"visible": 15, "thermal": 11}
    assert first["now"]["cameras"]["thermal"]["size"] == [160, 120]
    assert later["now"]["pair_offset"] is None
    assert later["now"]["celsius"] is None


def test_the_picture_after_a_number_is_a_newer_one(
    browser: httpx.Client, running: tuple[Server, Board, Memory]
) -> None:
    _, board, _ = running
    board.publish(now(), picture(1))
    first = browser.get("/live.jpg")
    assert first.headers["content-type"] == "image/jpeg"
    assert first.content.startswith(b"\xff\xd8")
    number = int(first.headers["picture-number"])
    timer = threading.Timer(0.2, board.publish, (now(), picture(2)))
    timer.start()
    second = browser.get(f"/live.jpg?after={number}")
    assert int(second.headers["picture-number"]) == number + 1
    for odd in ("-1", "x", "9" * 500, "²"):
        assert browser.get("/live.jpg", params={"after": odd}).status_code == 200


def test_health_is_told_to_anyone_and_says_no_more(running: tuple[Server, Board, Memory], url: str) -> None:
    assert (get(url + "/healthz").status_code, get(url + "/healthz").text) == (200, "ok\n")
    running[1].publish(now(cameras={"visible": CameraNow("secret place", "down")}))
    response = get(url + "/healthz")
    assert (response.status_code, response.text) == (503, "degraded\n")


def test_metrics_are_what_prometheus_reads(running: tuple[Server, Board, Memory], url: str) -> None:
    response = get(url + "/metrics", headers=BEARER)
    assert response.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert samples["edge_reid_healthy",] == 1.0
    assert samples["edge_reid_camera_fps", "visible"] == 24.9
    assert samples["edge_reid_camera_up", "thermal"] == 1.0
    assert samples["edge_reid_frames_total", "visible"] == 120345
    assert samples["edge_reid_dropped_total", "visible"] == 312
    assert samples["edge_reid_reconnects_total", "visible"] == 1
    assert samples["edge_reid_stalls_total", "visible"] == 1
    assert samples["edge_reid_frame_age_seconds", "thermal"] == 0.11
    assert samples["edge_reid_pair_offset_seconds",] == -0.012
    assert samples["edge_reid_stage_seconds", "embed"] == pytest.approx(0.00987)
    assert samples["edge_reid_latency_seconds", "0.95"] == 0.071
    assert samples["edge_reid_people_present", "known"] == 2
    assert samples["edge_reid_people_present", "unknown"] == 1
    assert samples["edge_reid_gallery_size",] == 12
    assert samples["edge_reid_events_total", "matched"] == 97
    assert samples["edge_reid_queue_length", "webhook"] == 14
    assert samples["edge_reid_queue_dropped_total", "webhook"] == 3
    assert samples["edge_reid_temperature_celsius",] == 57.5
    assert families["edge_reid_latency_seconds"].type == "summary"
    assert families["edge_reid_frames"].type == "counter"
    assert all(family.documentation for family in families.values())
    assert "Anna" not in response.text, "a monitor has no business with names"


def test_metrics_leave_out_what_is_not_known_and_survive_odd_labels(
    running: tuple[Server, Board, Memory], url: str
) -> None:
    odd = 'a "quoted"\nname\\'
    running[1].publish(
        now(pair_offset=None, celsius=None, gallery_size=None, latency={}, queues={odd: QueueNow(1, 0)}, events={},
            cameras={"visible": CameraNow("x", "connecting")})
    )  # fmt: skip
    text = get(url + "/metrics", headers=BEARER).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert not families["edge_reid_camera_fps"].samples
    assert "edge_reid_temperature_celsius" not in families
    assert families["edge_reid_queue_length"].samples[0].labels == {"queue": odd}
    with stage() as (empty, _, _):
        text = get(empty.url + "metrics", headers=BEARER).text
        assert [family.name for family in text_string_to_metric_families(text)] == ["edge_reid_healthy"]


def test_people_are_found_by_name_and_by_number(browser: httpx.Client) -> None:
    def found(search: str) -> list[int]:
        return [person["person"] for person in browser.get("/api/people", params={"search": search}).json()["people"]]

    assert found("anna") == [3]
    assert found(" LINDQ ") == [3]
    assert found("7") == [7]
    assert found("person 7") == [7]
    assert found("vázquez") == found("VAZQUEZ") == [2]
    assert found("nobody") == []
    assert found("") == sorted(found("")), "who was seen last comes first"
    assert browser.get("/api/people").json()["total"] == len(found(""))


def test_history_is_of_one_or_of_everyone_and_since_when(browser: httpx.Client) -> None:
    visits = browser.get("/api/history", params={"person": 3}).json()["visits"]
    assert {visit["person"] for visit in visits} == {3}
    assert {visit["camera"] for visit in visits} == {"visible", "thermal"}
    assert visits[0]["name"] == "Anna Lindqvist"
    assert visits[0]["ended"] is None
    since = browser.get("/api/history", params={"since": time.time() - 2000}).json()["visits"]
    assert {visit["person"] for visit in since} == {1, 2, 3}
    assert len(browser.get("/api/history", params={"most": 1}).json()["visits"]) == 1


def test_enrol_rename_and_forget_reach_the_desk_from_one_thread(
    running: tuple[Server, Board, Memory], browser: httpx.Client
) -> None:
    desk = running[2]
    made = browser.post("/api/people", json={"modality": "visible", "track": 15, "name": "  Zoë "})
    assert made.status_code == 201
    person = made.json()["person"]
    assert desk.known[person].name == "Zoë"
    assert browser.patch(f"/api/people/{person}", json={"name": "Zoë Q."}).status_code == 204
    assert desk.known[person].name == "Zoë Q."
    assert browser.delete(f"/api/people/{person}").status_code == 204
    assert person not in desk.known
    gone = browser.delete(f"/api/people/{person}")
    assert (gone.status_code, gone.json()) == (404, {"error": "nobody has this number any more"})
    lost = browser.post("/api/people", json={"modality": "visible", "track": 404, "name": "A"})
    assert (lost.status_code, lost.json()["error"]) == (
        400,
        "visible track 404 is gone; wait until the person is in view again",
    )
    threads = {thread for _, thread in desk.calls}
    assert len(threads) == 1
    assert threading.get_ident() not in threads


GOOD = {"modality": "visible", "track": 1, "name": "A"}


@pytest.mark.parametrize(
    "wish",
    [
        {}, [], "x", GOOD | {"more": 1}, GOOD | {"modality": "radar"},
        GOOD | {"track": -1}, GOOD | {"track": 1.5}, GOOD | {"track": 10**30},
        GOOD | {"name": ""}, GOOD | {"name": "   "}, GOOD | {"name": "x" * 81}, GOOD | {"name": 5},
        GOOD | {"name": "a\nb"}, GOOD | {"name": "a\x00"}, GOOD | {"name": "a\u202eb"},
    ],
)  # fmt: skip
def test_a_malformed_wish_is_one_line_and_changes_nothing(
    wish: object, browser: httpx.Client, running: tuple[Server, Board, Memory]
) -> None:
    before = dict(running[2].known)
    response = browser.post("/api/people", json=wish)
    assert response.status_code == 422
    assert "\n" not in response.json()["error"]
    assert running[2].known == before


def test_odd_numbers_and_bodies_are_refused(browser: httpx.Client) -> None:
    for number in ("-1", "x", "1.5", "9" * 5000, "%00", "NaN"):
        assert browser.delete(f"/api/people/{number}").status_code in (404, 422), number
    for query in ("person=-1", "since=nan", "since=inf", "most=0", "most=1e9", "other=1"):
        assert browser.get(f"/api/history?{query}").status_code == 422, query
    json_type = {"Content-Type": "application/json"}
    for body in (b"", b"{", b"\xff\xfe", b'{"name": "\\ud800"}', b"[" * 3000):
        assert browser.patch("/api/people/2", content=body, headers=json_type).status_code == 422
    assert browser.patch("/api/people/2", content=b" " * 5000, headers=json_type).status_code == 413
