"""Events by MQTT, with `pip install 'edge-reid[mqtt]'`: one message each, confirmed by the broker."""

from __future__ import annotations

import contextlib
import secrets
import ssl
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from edge_reid.errors import UserError
from edge_reid.events.delivery import Unreachable, reason_of
from edge_reid.events.outbox import Message

CONNECT_SECONDS = 2.0
CONFIRM_SECONDS = 10.0
KEEPALIVE_SECONDS = 30
"""A device that loses its power is called offline after one and a half of these."""

VERSIONS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}


@dataclass(frozen=True)
class Broker:
    """Where the broker is, how it is spoken to, and what all topics begin with."""

    host: str
    port: int
    encrypted: bool
    prefix: str
    version: MQTTProtocolVersion

    @classmethod
    def read(cls, url: str) -> Broker:
        """The broker of `mqtt[s]://HOST[:PORT][/PREFIX][?version=3.1.1]`.

        Raises:
            UserError: it has another form.
        """
        try:
            parts = urlsplit(url)
            options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
            version = VERSIONS[options.pop("version", "5")]
            port = parts.port or {"mqtt": 1883, "mqtts": 8883}[parts.scheme]
            usable = bool(parts.hostname) and not options and parts.username is None
        except (ValueError, KeyError):
            usable = False
        prefix = parts.path.strip("/") or "edge-reid" if usable else ""
        if not usable or not parts.hostname or prefix.startswith("$") or not url.isprintable() or set("+#") & set(url):
            raise UserError(
                "--mqtt: not an address; give mqtt://HOST/PREFIX or mqtts://HOST/PREFIX, ?version=3.1.1 for an old "
                "broker; user and password come from EDGE_REID_MQTT_USER and EDGE_REID_MQTT_PASSWORD"
            )
        return cls(parts.hostname, port, parts.scheme == "mqtts", prefix, version)


class Mqtt:
    """A receiver behind an MQTT broker: events go to `PREFIX/CAMERA/EVENT`, those of no camera to `PREFIX/app/EVENT`.

    `PREFIX/status` says `online` or `offline`, retained; the broker itself says the latter when the program is gone.
    """

    kind = "mqtt"
    most = 100

    def __init__(self, url: str, user: str | None = None, password: str | None = None) -> None:
        """Begin to connect, in a thread of its own, which reconnects by itself.

        Args:
            url: see `Broker.read`.
            user: None: nobody.
            password: of the user.

        Raises:
            UserError: the address is none.
        """
        broker = Broker.read(url)
        self.name = f"mqtt {broker.host}:{broker.port}"
        self._prefix = broker.prefix
        self._sent: dict[str, MQTTMessageInfo] = {}
        self._refused: dict[int, str] = {}
        self._connected = threading.Event()
        self._why = "does not answer"
        self._client = Client(CallbackAPIVersion.VERSION2, f"edge-reid-{secrets.token_hex(4)}", protocol=broker.version)
        if user is not None:
            self._client.username_pw_set(user, password)
        if broker.encrypted:
            self._client.tls_set_context(ssl.create_default_context())
        self._client.will_set(f"{self._prefix}/status", "offline", qos=1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.reconnect_delay_set(1, 30)
        self._client.connect_async(broker.host, broker.port, KEEPALIVE_SECONDS)
        self._client.loop_start()

    def deliver(self, messages: Sequence[Message]) -> None:
        """Publish the messages and wait until the broker has confirmed each.

        Raises:
            Unreachable: it has not.
        """
        if not self._connected.wait(CONNECT_SECONDS):
            raise self._unreachable(self._why)
        for message in messages:
            if message.key not in self._sent:  # else the library has it still, and sends it again by itself
                info = self._client.publish(f"{self._prefix}/{message.topic}", message.payload, qos=1)
                if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    raise self._unreachable(self._why)
                self._sent[message.key] = info
        latest = time.monotonic() + CONFIRM_SECONDS
        for message in messages:
            if not _is_confirmed(self._sent[message.key], latest - time.monotonic()):
                raise self._unreachable("does not confirm" if self._connected.is_set() else self._why)
        refused = [message for message in messages if self._sent[message.key].mid in self._refused]
        told = self._unreachable("")
        for message in messages:
            del self._sent[message.key]
        self._refused.clear()
        if refused:
            raise told

    def close(self) -> None:
        """Say that the program is offline, and disconnect."""
        if self._connected.is_set():
            _is_confirmed(self._client.publish(f"{self._prefix}/status", "offline", qos=1, retain=True), 1.0)
        self._client.disconnect()
        # it waits for the library's thread, which a dead network may hold
        stop = threading.Thread(target=self._client.loop_stop, daemon=True)
        stop.start()
        stop.join(1.0)

    def _unreachable(self, otherwise: str) -> Unreachable:
        """Why it goes no further: what the broker said of a message, also if it hung up then, or something else."""
        for info in self._sent.values():
            if info.mid in self._refused:
                return Unreachable(f"does not take them ({self._refused[info.mid]})")
        return Unreachable(otherwise)

    def _on_connect(self, client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._why = f"refuses the connection ({reason})"
            return
        client.publish(f"{self._prefix}/status", "online", qos=1, retain=True)
        self._connected.set()

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        self._why = reason_of(sys.exc_info()[1] or "does not answer")  # the library is handling it just now

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, _reason: Any, _properties: Any) -> None:
        if self._connected.is_set():
            self._why = "the connection broke"
        self._connected.clear()

    def _on_publish(self, _client: Client, _data: Any, number: int, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._refused[number] = str(reason)


def _is_confirmed(info: MQTTMessageInfo, seconds: float) -> bool:
    """Wait for the broker's word; the library raises where the connection broke while it took the message."""
    with contextlib.suppress(RuntimeError):
        info.wait_for_publish(max(0.0, seconds))
        return info.is_published()
    return False
