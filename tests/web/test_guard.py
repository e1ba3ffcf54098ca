"""Who may look at the page, and what no other site can make a browser do."""

from __future__ import annotations

import logging
import socket
from itertools import islice
from pathlib import Path

import httpx
import pytest
from stage import BEARER, TOKEN, Client, Memory, get, head, now, post, stage

from edge_reid.web.board import Board
from edge_reid.web.routes import OPEN_PATHS
from edge_reid.web.server import Server

PROTECTED = ["/metrics", "/live.jpg", "/api/live", "/api/people", "/api/history", "/nothing", "/..%2f..%2fetc/passwd"]


@pytest.mark.parametrize("path", sorted(OPEN_PATHS))
def test_what_holds_nothing_of_anybody_is_open(path: str, url: str) -> None:
    response = get(url + path)
    assert response.status_code == 200
    assert head(url + path).status_code == 200
    assert post(url + path).status_code in (401, 405)


@pytest.mark.parametrize("path", PROTECTED)
def test_without_token_or_session_nothing_else_is_told(path: str, url: str) -> None:
    for headers in ({}, {"Cookie": "edge_reid=1"}, {"Authorization": "Basic x"}):
        response = get(url + path, headers=headers)
        assert response.status_code == 401
        assert response.json() == {"error": "sign in with the token first"}


def test_a_session_is_a_strict_cookie_that_does_not_hold_the_token(url: str) -> None:
    response = post(url + "/login", json={"token": TOKEN})
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert TOKEN not in str(response.headers)
    name, _, value = response.headers["set-cookie"].partition(";")[0].partition("=")
    assert get(url + "/api/people", headers={"Cookie": f"{name}={value}"}).status_code == 200
    assert get(url + "/api/people", headers={"Cookie": f"{name}={value}0"}).status_code == 401


def test_signing_out_ends_this_session_wherever_its_cookie_is(browser: httpx.Client, url: str) -> None:
    copied = dict(browser.cookies)
    with Client(base_url=url) as other:
        assert other.post("/login", json={"token": TOKEN}).status_code == 204
        assert browser.get("/api/people").status_code == 200
        assert browser.post("/logout").status_code == 204
        assert not browser.cookies
        assert browser.get("/api/people").status_code == 401
        assert get(url + "/api/people", cookies=copied).status_code == 401
        assert other.get("/api/people").status_code == 200
    assert post(url + "/logout").status_code == 204, "who has none may end it too"


def test_what_goes_on_and_on_ends_with_the_session(browser: httpx.Client, url: str) -> None:
    with browser.stream("GET", "/api/live") as told, Client(base_url=url, cookies=dict(browser.cookies)) as same:
        states = (line for line in told.iter_lines() if line.startswith("data: "))
        next(states)
        assert same.post("/logout").status_code == 204
        assert len(list(islice(states, 20))) < 20, "it ends"


def test_another_site_cannot_sign_anyone_out(browser: httpx.Client) -> None:
    assert browser.post("/logout", headers={"Origin": "http://evil.example"}).status_code == 403
    assert browser.get("/api/people").status_code == 200


def test_guessing_ends_soon_for_a_while_but_not_for_who_is_signed_in() -> None:
    with stage() as (server, board, _), Client(base_url=server.url) as signed_in:
        assert signed_in.post("/login", json={"token": TOKEN}).status_code == 204
        codes = [post(server.url + "login", json={"token": f"guess {i}"}).status_code for i in range(6)]
        wrong = {"Authorization": "Bearer guess"}
        codes += [get(server.url + "metrics", headers=wrong).status_code for _ in range(6)]
        assert codes == [401] * 10 + [429] * 2
        late = post(server.url + "login", json={"token": TOKEN})
        assert late.status_code == 429
        assert late.headers["retry-after"] == "60"
        board.publish(now())
        assert signed_in.get("/api/people").status_code == 200
        assert get(server.url + "healthz").status_code == 200


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"token": 5}', b"\xff", b'{"token": null}'])
def test_a_malformed_login_is_refused(body: bytes, url: str) -> None:
    assert post(url + "/login", content=body).status_code == 400
    assert post(url + "/login", content=b"x" * 5000).status_code == 413


def test_no_answer_and_no_log_holds_the_token(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Client(base_url=url, headers={"Origin": url}) as client:
        answers = [client.post("/login", json={"token": TOKEN})]
        answers += [client.get(path) for path in [*OPEN_PATHS, "/metrics", "/api/people", "/api/history", "/nothing"]]
        answers += [client.get("/metrics", headers=BEARER), client.post("/login", json={"token": TOKEN + "?"})]
    assert TOKEN not in caplog.text
    assert all(TOKEN not in answer.text + str(answer.headers) for answer in answers)


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/people", "/login"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1", "localhost."]
)
def test_a_domain_that_was_bent_to_this_machine_gets_nothing(host: str, path: str, url: str) -> None:
    response = get(url + path, headers={"Host": host, **BEARER})
    assert response.status_code == 421
    assert "edge-reid" not in response.text


@pytest.mark.parametrize(
    "host", ["127.0.0.1/healthz?", "127.0.0.1/healthz#", "localhost/page.js;", "localhost\\healthz"]
)
def test_a_name_that_brings_an_open_path_along_opens_nothing(host: str, url: str) -> None:
    assert get(url + "/api/people", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1", "192.168.1.4:80", "[::1]:8080", socket.gethostname()])
def test_addresses_and_the_machines_own_names_are_answered(host: str, url: str) -> None:
    assert get(url + "/healthz", headers={"Host": host}).status_code == 200


def test_a_change_needs_an_origin_that_is_the_page_itself(browser: httpx.Client, url: str) -> None:
    def rename(**headers: str) -> int:
        # as a browser sends it for another page: with the cookie
        request = browser.build_request("PATCH", "/api/people/4", json={"name": "Mallory"})
        del request.headers["Origin"], request.headers["Sec-Fetch-Site"]
        request.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
        return browser.send(request).status_code

    port = url.rpartition(":")[2]
    for origin in (
        "http://evil.example",
        "null",
        f"http://localhost:{port}",
        "http://127.0.0.1:1",
        f"{url}.evil.example",
    ):
        assert rename(Origin=origin) == 403, origin
    assert rename() == 403
    assert rename(Origin=url, Sec_Fetch_Site="cross-site") == 403
    assert rename(Origin=url, Sec_Fetch_Site="same-site") == 403
    assert rename(Origin=url, Content_Type="text/plain") == 415
    assert rename(Origin=url) == 204
    assert rename(Authorization=f"Bearer {TOKEN}") == 204, "a program that knows the token is nobody's browser"


def test_pictures_and_states_cannot_be_put_into_another_page(browser: httpx.Client) -> None:
    for path in ("/live.jpg", "/api/live", "/api/people"):
        assert browser.get(path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    # but a link to the page works
    assert browser.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/page.js", "/live.jpg", "/api/people", "/metrics", "/healthz", "/nothing"])
def test_every_answer_forbids_what_a_page_does_not_need(path: str, url: str) -> None:
    headers = get(url + path, headers=BEARER).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_nothing_changes_by_reading(browser: httpx.Client, running: tuple[Server, Board, Memory]) -> None:
    before = dict(running[2].known)
    for path in ("/api/people/2", "/api/people/2?name=x", "/logout", "/login"):
        assert browser.get(path).status_code in (404, 405), path
    assert running[2].known == before
    assert browser.get("/api/people").status_code == 200


@pytest.mark.parametrize(
    "path", ["/../routes.py", "/static/page.js", "/%2e%2e/routes.py", "/page.js/..%2f..", "//etc/passwd"]
)
def test_no_path_leads_to_a_file(path: str, url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as raw:  # httpx would tidy the path
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{'Authorization: Bearer ' + TOKEN}\r\n\r\n".encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 404")


def test_the_page_asks_for_nothing_outside_itself() -> None:
    folder = Path(__file__).parents[2] / "edge_reid" / "web" / "static"
    for file in folder.iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text, file
        assert "https:" not in text, file
        assert "innerHTML" not in text, file
        assert " style=" not in text, file
