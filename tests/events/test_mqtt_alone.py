from __future__ import annotations

import pytest
from listeners import free_port, messages

from edge_reid.errors import UserError
from edge_reid.events.delivery import Unreachable

pytest.importorskip("paho.mqtt")
from edge_reid.events.mqtt import Broker, Mqtt


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("mqtt://host", ("host", 1883, False, "edge-reid", 5)),
        ("mqtts://host/", ("host", 8883, True, "edge-reid", 5)),
        ("mqtt://[::1]:99/a/b/?version=3.1.1", ("::1", 99, False, "a/b", 4)),
    ],
)
def test_an_address_names_broker_and_prefix(url: str, broker: tuple[str, int, bool, str, int]) -> None:
    read = Broker.read(url)
    assert (read.host, read.port, read.encrypted, read.prefix, int(read.version)) == broker


@pytest.mark.parametrize(
    "url",
    [
        "", "host", "http://host", "mqtt://", "mqtt:///a", "mqtt://h:x", "mqtt://h:99999", "mqtt://max:geheim@h/a",
        "mqtt://h/a/#", "mqtt://h/+", "mqtt://h/$SYS", "mqtt://h/?version=4", "mqtt://h/?qos=2", "mqtt://h/?version",
        "mqtt://[::1", "mqtt://h/a\0b",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_in_one_line_without_a_secret(url: str) -> None:
    with pytest.raises(UserError, match=r"^--mqtt: not an address; give mqtt://HOST/PREFIX") as told:
        Mqtt(url)
    assert "geheim" not in str(told.value)


def test_a_connection_that_breaks_as_the_app_ends_is_no_error() -> None:
    receiver = Mqtt(f"mqtt://127.0.0.1:{free_port()}")
    receiver._connected.set()  # the library has lost the broker and has not said so yet
    with pytest.raises(Unreachable):
        receiver.deliver(messages(1))
    receiver._connected.set()
    receiver.close()
