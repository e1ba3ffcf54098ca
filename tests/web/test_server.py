"""Viewers who are slow, many or gone, and the address at which they come."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable

import httpx
import numpy as np
import pytest
from stage import BEARER, TOKEN, Client, Memory, get, now, open_files, playing, stage, until

from edge_reid.errors import UserError
from edge_reid.web.board import Board
from edge_reid.web.server import MOST_CONNECTIONS, Server, serve

NOISE = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
"""Of about 1 MB as JPEG: more than the system takes for a viewer who does not read."""


def never_reading(url: str, path: str, requests: int) -> socket.socket:
    """Somebody who asks and then takes nothing of the answer."""
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    viewer = socket.socket()
    viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    viewer.connect((host, int(port)))
    viewer.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode() * requests)
    return viewer


def test_viewers_who_never_read_hold_up_neither_the_loop_nor_other_viewers() -> None:
    drawn: list[int] = []

    def drawing(step: int) -> Callable[[], np.ndarray]:
        def draw() -> np.ndarray:
            drawn.append(step)
            return NOISE

        return draw

    with stage() as (server, board, _):
        board.publish(now(), drawing(0))
        stuck = [never_reading(server.url, "/live.jpg", 50) for _ in range(8)]
        stuck += [never_reading(server.url, "/api/live", 1) for _ in range(8)]
        assert until(lambda: bool(drawn), 10)
        for step in range(1, 20_001):
            board.publish(now() if step % 1000 == 0 else board.latest.now, drawing(step))  # type: ignore[union-attr]
        with Client(base_url=server.url, headers=BEARER) as reader:
            newest = reader.get("/live.jpg")
            assert int(newest.headers["picture-number"]) == 20_001
            time.sleep(0.5)  # time enough to send each of them fifty times the newest
            pending = [it.transport.get_write_buffer_size() for it in server._server.server_state.connections]
            assert len(pending) == 17
            assert 0 < max(pending) < len(newest.content) + 100_000
            assert reader.get("/healthz").text == "ok\n"
        for viewer in stuck:
            viewer.close()


def test_fifty_viewers_who_come_and_go_leave_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    threads, files = threading.active_count(), open_files()

    def visit(url: str) -> None:
        with Client(base_url=url, headers=BEARER, timeout=20) as viewer:
            number = "0"
            for _ in range(2):
                number = viewer.get(f"/live.jpg?after={number}").headers.get("picture-number", "0")
            with viewer.stream("GET", "/api/live") as response:
                next(response.iter_lines())
        # and one who leaves in the middle of the answer
        never_reading(url, "/live.jpg", 3).close()

    with stage() as (server, board, _):
        with playing(board):
            get(server.url + "live.jpg", headers=BEARER)
            get(server.url + "api/people", headers=BEARER)
            alone = threading.active_count()
            visitors = [threading.Thread(target=visit, args=(server.url,)) for _ in range(50)]
            for visitor in visitors:
                visitor.start()
            for visitor in visitors:
                visitor.join(30)
            assert threading.active_count() == alone
        connections = server._server.server_state.connections
        assert until(lambda: not connections)
        assert until(lambda: not server._server.server_state.tasks)
    assert threading.active_count() == threads
    assert until(lambda: open_files() == files)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_more_connections_than_the_bound_are_turned_away(running: tuple[Server, Board, Memory]) -> None:
    server = running[0]
    host, port = server.url.removeprefix("http://").rstrip("/").split(":")
    idle = [socket.create_connection((host, int(port))) for _ in range(2 * MOST_CONNECTIONS)]
    connections = server._server.server_state.connections
    assert until(lambda: 0 < len(connections) <= MOST_CONNECTIONS)
    for connection in idle:
        connection.close()
    assert until(lambda: not connections)
    assert get(server.url + "page.js").status_code == 200


def test_closing_ends_at_once_though_viewers_hang_on(caplog: pytest.LogCaptureFixture) -> None:
    threads, files = threading.active_count(), open_files()
    board = Board()
    server = serve(board, Memory(), "127.0.0.1", 0, TOKEN)
    board.publish(now(), NOISE)
    viewers = [never_reading(server.url, "/live.jpg", 20) for _ in range(3)]
    viewers += [never_reading(server.url, path, 1) for path in ("/api/live", "/api/people", "/live.jpg?after=1")]
    connections = server._server.server_state.connections
    assert until(lambda: sum(it.transport.get_write_buffer_size() > 0 for it in connections) == 3)
    server.close()
    server.close()
    assert threading.active_count() == threads
    for viewer in viewers:
        viewer.close()
    assert until(lambda: open_files() == files)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    with pytest.raises(httpx.ConnectError):
        get(server.url)


def test_the_link_holds_a_made_up_token_and_never_a_given_one() -> None:
    tokens = set()
    for _ in range(2):
        with stage(token=None) as (server, _, _):
            address, _, token = server.url.partition("#")
            tokens.add(token)
            assert len(token) >= 32
            assert get(address + "api/people", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert len(tokens) == 2
    with stage() as (server, _, _):
        assert "#" not in server.url


def test_a_taken_port_is_one_line(running: tuple[Server, Board, Memory]) -> None:
    port = int(running[0].url.rstrip("/").rpartition(":")[2])
    with pytest.raises(UserError, match=rf"127\.0\.0\.1 port {port}: address already in use; choose another"):
        serve(Board(), Memory(), "127.0.0.1", port, TOKEN)


@pytest.mark.parametrize(
    ("host", "port"), [("no such host", 0), ("203.0.113.7", 0), ("127.0.0.1", 70000), ("127.0.0.1", -1), ("", 99999)]
)
def test_an_address_that_cannot_be_had_is_one_line(host: str, port: int) -> None:
    with pytest.raises(UserError, match=r"choose another") as refused:
        serve(Board(), Memory(), host, port, TOKEN)
    assert "\n" not in str(refused.value)


def test_other_machines_are_served_with_a_given_token_and_a_warning_only(caplog: pytest.LogCaptureFixture) -> None:
    files = open_files()
    with pytest.raises(UserError, match="set EDGE_REID_WEB_TOKEN or name a token file"):
        serve(Board(), Memory(), "0.0.0.0", 0, None)
    assert open_files() == files
    server = serve(Board(), Memory(), "0.0.0.0", 0, TOKEN)
    try:
        assert "not encrypted" in caplog.text
        assert TOKEN not in caplog.text
        assert get(f"http://127.0.0.1:{server.url.rstrip('/').rpartition(':')[2]}/healthz").status_code == 503
    finally:
        server.close()
