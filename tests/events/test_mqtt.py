from __future__ import annotations

import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from listeners import free_port, make_certificate, messages, wait_for

from edge_reid.events import delivery
from edge_reid.events.delivery import Unreachable
from edge_reid.events.events import Events
from edge_reid.events.outbox import Message

pytest.importorskip("paho.mqtt")
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from edge_reid.events import mqtt
from edge_reid.events.mqtt import Mqtt

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed: apt-get install mosquitto")


class Mosquitto:
    """A real broker that can be away; sessions and what waits for them outlive a stop in good order."""

    def __init__(self, folder: Path, *settings: str) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = folder / "mosquitto.conf"
        lines = [
            f"listener {self.port} 127.0.0.1", "persistence true", f"persistence_location {folder}/",
            "max_queued_messages 0", *settings,
        ]  # fmt: skip
        if os.geteuid() == 0:
            lines.append("user root")  # who may write into the test's folder
        if not any(setting.startswith("password_file") for setting in settings):
            lines.append("allow_anonymous true")
        self._settings.write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        assert MOSQUITTO is not None
        self._process = subprocess.Popen([MOSQUITTO, "-c", str(self._settings)], stderr=subprocess.DEVNULL)
        wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", self.port)) == 0)

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(10)
            self._process = None


class Subscriber:
    """Someone who receives everything of a prefix and remembers ids; its session outlives the broker's absence."""

    def __init__(self, port: int, prefix: str = "edge-reid", **login: str) -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        self._topics = [(f"{prefix}/+/+", 1), (f"{prefix}/status", 1)]
        self._client = Client(CallbackAPIVersion.VERSION2, "subscriber", clean_session=False)
        if login:
            self._client.username_pw_set(**login)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._subscribed = False
        self._client.on_subscribe = self._on_subscribe
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        wait_for(lambda: self._subscribed)

    @property
    def ids(self) -> list[str]:
        """Ids of the events in the order in which they came first."""
        return list(dict.fromkeys(json.loads(payload)["id"] for _, payload, _ in self.messages if payload[:1] == b"{"))

    @property
    def statuses(self) -> list[bytes]:
        return [payload for topic, payload, _ in self.messages if topic.endswith("/status")]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: Client, *_: Any) -> None:
        client.subscribe(self._topics)

    def _on_subscribe(self, *_: Any) -> None:
        self._subscribed = True

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self.messages.append((message.topic, bytes(message.payload), message.retain))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    brokers: list[Mosquitto] = []

    def begin(*settings: str) -> Mosquitto:
        brokers.append(Mosquitto(tmp_path, *settings))
        brokers[-1].start()
        return brokers[-1]

    yield begin
    for broker in brokers:
        broker.stop()


@needs_broker
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_events_go_to_their_topics_and_the_status_follows_the_program(
    version: str, start: Callable[..., Mosquitto]
) -> None:
    broker = start()
    subscriber = Subscriber(broker.port, "site/door")
    receiver = Mqtt(f"mqtt://127.0.0.1:{broker.port}/site/door?version={version}")
    receiver.deliver([Message("a", "visible/track_lost", b'{"id": "a"}'), Message("b", "app/matched", b'{"id": "b"}')])
    receiver.deliver([Message("c", "app/stopped", b'{"id": "c"}')])
    receiver.close()
    wait_for(lambda: len(subscriber.messages) == 5)
    assert sorted(subscriber.messages) == [
        ("site/door/app/matched", b'{"id": "b"}', False),
        ("site/door/app/stopped", b'{"id": "c"}', False),
        ("site/door/status", b"offline", False),
        ("site/door/status", b"online", False),
        ("site/door/visible/track_lost", b'{"id": "a"}', False),
    ]
    assert subscriber.ids == ["a", "b", "c"]
    subscriber.close()
    later = Subscriber(broker.port, "site/door")
    wait_for(lambda: ("site/door/status", b"offline", True) in later.messages)
    later.close()


KILLED = """
import os, signal, sys
from edge_reid.events.mqtt import Mqtt
from edge_reid.events.outbox import Message
Mqtt(sys.argv[1]).deliver([Message("a", "app/started", b'{"id": "a"}')])
os.kill(os.getpid(), signal.SIGKILL)
"""


@needs_broker
def test_the_broker_says_that_a_killed_program_is_offline(start: Callable[..., Mosquitto]) -> None:
    broker = start()
    subscriber = Subscriber(broker.port)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", KILLED, f"mqtt://127.0.0.1:{broker.port}"], env=environment, check=False)
    wait_for(lambda: subscriber.statuses == [b"online", b"offline"])
    assert subscriber.ids == ["a"]
    subscriber.close()


@needs_broker
def test_a_broker_that_comes_and_goes_gets_every_event_in_order(
    tmp_path: Path, start: Callable[..., Mosquitto], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "PAUSES", (0.05, 0.2))
    broker = start()
    subscriber = Subscriber(broker.port)
    path = tmp_path / "events.jsonl"
    events = Events(path, [Mqtt(f"mqtt://127.0.0.1:{broker.port}")])
    told = 0

    def tell(count: int) -> None:
        nonlocal told
        for _ in range(count):
            told += 1
            events.write("person_entered", told / 25, {"camera": "thermal", "person": told})
            time.sleep(0.002)

    for _ in range(2):
        tell(100)
        broker.stop()
        tell(50)
        broker.start()
        wait_for(lambda: events.counts()["mqtt_waiting"] == 0)
    tell(20)
    wait_for(lambda: events.counts()["mqtt_waiting"] == 0)
    events.close()
    filed = [json.loads(line)["id"] for line in path.read_text().splitlines()]
    assert len(filed) == told
    wait_for(lambda: len(subscriber.ids) == told)
    assert subscriber.ids == filed
    assert subscriber.statuses.count(b"online") >= 3
    subscriber.close()


@needs_broker
def test_the_status_is_online_again_also_when_nothing_happens(start: Callable[..., Mosquitto]) -> None:
    broker = start()
    receiver = Mqtt(f"mqtt://127.0.0.1:{broker.port}")
    receiver.deliver(messages(1))
    broker.stop()
    broker.start()
    subscriber = Subscriber(broker.port)
    wait_for(lambda: subscriber.statuses[-1:] == [b"online"])
    receiver.close()
    wait_for(lambda: subscriber.statuses[-1:] == [b"offline"])
    assert subscriber.statuses.count(b"online") == 1
    subscriber.close()


def has_tried(receiver: Mqtt) -> bool:
    return receiver._why != "does not answer"


@needs_broker
def test_who_may_not_enter_or_write_loses_nothing_and_is_told_why(
    tmp_path: Path, start: Callable[..., Mosquitto], monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords, rights = tmp_path / "passwords", tmp_path / "rights"
    for user in ("door", "guest"):
        passwords.touch()
        subprocess.run(["mosquitto_passwd", "-b", str(passwords), user, "geheim"], check=True)
    rights.write_text(
        "user door\ntopic write edge-reid/#\nuser guest\ntopic read edge-reid/#\ntopic write edge-reid/status\n"
    )
    for path in (passwords, rights):
        path.chmod(0o600)
    broker = start(f"password_file {passwords}", f"acl_file {rights}")
    url = f"mqtt://127.0.0.1:{broker.port}"
    subscriber = Subscriber(broker.port, username="guest", password="geheim")
    monkeypatch.setattr(mqtt, "CONNECT_SECONDS", 0.1)
    for login in ((), ("door", "wrong")):
        stranger = Mqtt(url, *login)
        wait_for(functools.partial(has_tried, stranger))
        with pytest.raises(Unreachable, match=r"refuses the connection \(Not authorized\)"):
            stranger.deliver(messages(1))
        stranger.close()
    monkeypatch.undo()
    guest = Mqtt(url, "guest", "geheim")

    def is_told() -> bool:
        with pytest.raises(Unreachable) as told:
            guest.deliver(messages(1, 2))
        return str(told.value) == "does not take them (Not authorized)"

    wait_for(is_told)  # mosquitto 2.0.11 hangs up after such an answer, which may be all that arrives
    guest.close()
    door = Mqtt(url, "door", "geheim")
    door.deliver(messages(1, 2))
    door.close()
    wait_for(lambda: subscriber.ids == ["run-1", "run-2"])
    subscriber.close()


@needs_broker
def test_a_broker_is_known_by_its_certificate(
    tmp_path: Path, start: Callable[..., Mosquitto], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography")
    certificate = tmp_path / "broker.pem"
    make_certificate(certificate)
    broker = start(f"certfile {certificate}", f"keyfile {certificate}")
    url = f"mqtts://127.0.0.1:{broker.port}"
    receiver = Mqtt(url)
    with pytest.raises(Unreachable, match=r"certificate not trusted .*SSL_CERT_FILE"):
        receiver.deliver(messages(1))
    receiver.close()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    receiver = Mqtt(url)
    receiver.deliver(messages(1))
    receiver.close()


def test_nobody_there_is_said_so_and_closing_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "CONNECT_SECONDS", 0.2)
    receiver = Mqtt(f"mqtt://127.0.0.1:{free_port()}")
    wait_for(lambda: has_tried(receiver))
    with pytest.raises(Unreachable, match=r"^connection refused$"):
        receiver.deliver(messages(1))
    receiver.close()


def test_a_broker_that_never_confirms_holds_up_nobody_who_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "CONFIRM_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        receiver = Mqtt(f"mqtt://127.0.0.1:{server.getsockname()[1]}?version=3.1.1")
        connection, _ = server.accept()
        connection.recv(1024)
        connection.sendall(b"\x20\x02\x00\x00")  # CONNACK, and not a word after it
        for _ in range(2):
            with pytest.raises(Unreachable, match="does not confirm"):
                receiver.deliver(messages(1))
        assert connection.recv(1024).count(b"run-1") == 1, "what the library holds is not given to it again"
        receiver.close()
        connection.close()
