from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from listeners import wait_for

from edge_reid.events import delivery
from edge_reid.events.delivery import Deliverer, Refused, Unreachable
from edge_reid.events.outbox import Message, Outbox


class Peer:
    """A receiver with moods."""

    kind = "peer"
    name = "peer of the test"
    most = 8

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.calls: list[list[str]] = []
        self.poison: set[str] = set()
        self.away = False
        self.closed = False
        self.defect: Exception | None = None

    def deliver(self, messages: Sequence[Message]) -> None:
        keys = [message.key for message in messages]
        self.calls.append(keys)
        if self.defect:
            raise self.defect
        if self.away:
            raise Unreachable("nobody there")
        if self.poison & set(keys):
            raise Refused("answers 400 Bad Request")
        self.taken += keys

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "PAUSES", (0.01, 0.04))


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "queue.sqlite")
    yield outbox
    outbox.close()


def fill(outbox: Outbox, first: int, last: int) -> list[str]:
    messages = [Message(f"{number:04d}", "app/started", b"{}") for number in range(first, last)]
    outbox.put(messages)
    return [message.key for message in messages]


def test_everything_arrives_in_order_and_in_batches(outbox: Outbox) -> None:
    keys = fill(outbox, 0, 30)
    peer = Peer()
    deliverer = Deliverer(outbox, peer)
    wait_for(lambda: outbox.waiting == 0)
    keys += fill(outbox, 30, 40)
    deliverer.wake()
    wait_for(lambda: outbox.waiting == 0)
    deliverer.close(5.0)
    assert peer.taken == keys
    assert max(map(len, peer.calls)) == 8
    assert peer.closed


def test_a_receiver_that_is_away_gets_everything_when_it_is_back(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    peer = Peer()
    peer.away = True
    deliverer = Deliverer(outbox, peer)
    keys = fill(outbox, 0, 20)
    deliverer.wake()
    wait_for(lambda: len(peer.calls) > 4)
    peer.away = False
    wait_for(lambda: outbox.waiting == 0)
    deliverer.close(5.0)
    assert peer.taken == keys
    assert [record.getMessage() for record in caplog.records] == [
        "peer of the test: nobody there; 20 messages wait on disk",
        "peer of the test: receives again",
    ]


@pytest.mark.parametrize("seed", range(4))
def test_only_what_is_refused_is_left_out(seed: int, outbox: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    keys = fill(outbox, 0, 50)
    peer = Peer()
    peer.poison = set(random.Random(seed).sample(keys, 5))
    deliverer = Deliverer(outbox, peer)
    wait_for(lambda: outbox.waiting == 0)
    deliverer.close(5.0)
    assert peer.taken == [key for key in keys if key not in peer.poison]
    assert (outbox.refused, outbox.delivered) == (5, 45)
    assert [record.getMessage() for record in caplog.records] == [
        f"peer of the test: answers 400 Bad Request; {min(peer.poison)} is left out"
    ]


def test_a_defect_of_a_receiver_does_not_end_the_deliveries(outbox: Outbox) -> None:
    peer = Peer()
    peer.defect = KeyError("a library's mistake")
    deliverer = Deliverer(outbox, peer)
    keys = fill(outbox, 0, 3)
    deliverer.wake()
    wait_for(lambda: len(peer.calls) > 2)
    peer.defect = None
    wait_for(lambda: outbox.waiting == 0)
    deliverer.close(5.0)
    assert peer.taken == keys


def test_closing_hands_over_what_is_there_and_leaves_the_rest_to_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"
    outbox, peer = Outbox(path), Peer()
    deliverer = Deliverer(outbox, peer)
    keys = fill(outbox, 0, 5)
    deliverer.close(5.0)
    assert peer.taken == keys
    outbox, peer = Outbox(path), Peer()
    peer.away = True
    deliverer = Deliverer(outbox, peer)
    keys = fill(outbox, 5, 10)
    deliverer.close(5.0)
    outbox, peer = Outbox(path), Peer()
    Deliverer(outbox, peer).close(5.0)
    assert peer.taken == keys


def test_a_receiver_that_never_answers_holds_up_nobody_who_closes(tmp_path: Path) -> None:
    hang = threading.Event()

    class Silent(Peer):
        def deliver(self, messages: Sequence[Message]) -> None:
            self.calls.append([message.key for message in messages])
            hang.wait(30.0)

    path = tmp_path / "queue.sqlite"
    outbox, peer = Outbox(path), Silent()
    keys = fill(outbox, 0, 2)
    deliverer = Deliverer(outbox, peer)
    wait_for(lambda: peer.calls)
    deliverer.close(0.05)
    outbox = Outbox(path)
    assert [message.key for _, message in outbox.first(10)] == keys
    outbox.close()
    hang.set()
    wait_for(lambda: f"deliver {peer.name}" not in [thread.name for thread in threading.enumerate()])


def test_pauses_grow_to_their_limit_and_differ() -> None:
    delivery.random.seed(0)
    for _ in range(50):
        pauses = list(itertools.islice(delivery.growing_pauses(), 6))
        wanted = [0.01, 0.02, 0.04, 0.04, 0.04, 0.04]
        assert all(0.75 <= pause / middle <= 1.25 for pause, middle in zip(pauses, wanted, strict=True))
        assert len(set(pauses)) == 6


def test_pauses_begin_anew_after_a_delivery(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "PAUSES", (0.001, 3600.0))
    peer = Peer()
    deliverer = Deliverer(outbox, peer)
    for number in range(6):  # without a new beginning one of these would be the pause of hours
        peer.away, peer.calls = True, []
        fill(outbox, number, number + 1)
        deliverer.wake()
        wait_for(lambda: len(peer.calls) > 5)
        peer.away = False
        wait_for(lambda: outbox.waiting == 0)
    deliverer.close(5.0)
    assert len(peer.taken) == 6
