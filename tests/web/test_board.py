from __future__ import annotations

import asyncio
import threading

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from stage import now, picture

from edge_reid.web.board import SILENT_SECONDS, WATCHED_SECONDS, Board, CameraNow
from edge_reid.web.pictures import MOST_WIDTH, Pictures, encode


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def test_a_picture_is_worth_drawing_only_while_somebody_looks() -> None:
    clock = Clock()
    board = Board(clock)
    assert not board.watched
    board.watch()
    assert board.watched
    clock.time += WATCHED_SECONDS
    assert not board.watched


@pytest.mark.parametrize(
    ("state", "health"),
    [("up", "ok"), ("ended", "ok"), ("connecting", "degraded"), ("stalled", "degraded"), ("down", "degraded")],
)
def test_health_is_that_of_the_worst_camera(state: str, health: str) -> None:
    board = Board(Clock())
    assert board.health == "degraded", "nothing has come yet"
    board.publish(now(cameras={"visible": CameraNow("a", "up"), "thermal": CameraNow("b", state)}))
    assert board.health == health


def test_a_loop_that_falls_silent_is_not_healthy() -> None:
    clock = Clock()
    board = Board(clock)
    board.publish(now())
    clock.time += SILENT_SECONDS
    assert board.health == "ok"
    clock.time += 0.1
    assert board.health == "degraded"
    assert board.silence == pytest.approx(SILENT_SECONDS + 0.1)


@pytest.mark.parametrize("lazily", [False, True], ids=["drawn", "to be drawn"])
def test_a_picture_is_encoded_no_wider_than_a_screen(lazily: bool) -> None:
    image = picture(0)
    jpeg = encode((lambda: image) if lazily else image)
    decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == (round(480 * MOST_WIDTH / 1286), MOST_WIDTH, 3)
    small = cv2.resize(image, (MOST_WIDTH, decoded.shape[0]), interpolation=cv2.INTER_AREA)
    assert np.abs(decoded.astype(int) - small).mean() < 2.0


def test_a_hundred_viewers_share_one_encoding_and_a_picture_nobody_asked_for_is_never_drawn() -> None:
    drawn: list[int] = []

    def drawing(step: int) -> NDArray[np.uint8]:
        drawn.append(step)
        return np.full((8, 16, 3), step % 256, np.uint8)

    async def look() -> list[int]:
        board, pictures = Board(), None
        for step in range(1000):
            board.publish(now(), lambda step=step: drawing(step))  # type: ignore[misc]
        assert not drawn
        pictures = Pictures(board)
        try:
            seen = await asyncio.gather(*(pictures.next(0) for _ in range(100)))
            again = await pictures.next(0)
            board.publish(now(), lambda: drawing(7777))
            later = await asyncio.gather(*(pictures.next(1000) for _ in range(100)))
        finally:
            pictures.stop()
            pictures.close()
        assert again is seen[0]
        return [it.number for it in [*seen, *later] if it]

    assert asyncio.run(look()) == [1000] * 100 + [1001] * 100
    assert drawn == [999, 7777]


def test_a_viewer_who_leaves_takes_the_picture_from_nobody() -> None:
    async def look() -> int:
        board = Board()
        pictures = Pictures(board)
        leaving, staying = asyncio.create_task(pictures.next(0)), asyncio.create_task(pictures.next(0))
        await asyncio.sleep(0.05)
        leaving.cancel()
        await asyncio.sleep(0.05)
        board.publish(now(), picture(0))
        seen = await staying
        pictures.close()
        return seen.number if seen else 0

    assert asyncio.run(look()) == 1


def test_a_stopped_page_keeps_nobody_waiting_for_a_picture() -> None:
    async def look() -> object:
        pictures = Pictures(Board())
        waiting = asyncio.create_task(pictures.next(0))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        pictures.stop()
        answer = await asyncio.wait_for(waiting, 1.0)
        pictures.close()
        return answer

    before = threading.active_count()
    assert asyncio.run(look()) is None
    assert threading.active_count() == before
