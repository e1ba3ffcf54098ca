from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from stage import TOKEN, Client, Memory, now, picture, stage

from edge_reid.web.board import Board
from edge_reid.web.server import Server


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Server, Board, Memory]]:
    with stage() as running:
        running[1].publish(now(), picture(0))
        yield running


@pytest.fixture
def url(running: tuple[Server, Board, Memory]) -> str:
    """Of a server whose loop has just published."""
    running[1].publish(now(), picture(0))
    return running[0].url.rstrip("/")


@pytest.fixture
def browser(url: str) -> Iterator[httpx.Client]:
    """Signed in as the page does it."""
    with Client(base_url=url, headers={"Origin": url, "Sec-Fetch-Site": "same-origin"}) as client:
        assert client.post("/login", json={"token": TOKEN}).status_code == 204
        yield client
