from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from listeners import endpoint, free_port, make_certificate, messages, wait_for

from edge_reid.errors import UserError
from edge_reid.events import webhook
from edge_reid.events.delivery import Refused, Unreachable
from edge_reid.events.webhook import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DOCUMENT = Path(__file__).parents[2] / "docs" / "events.md"


def test_events_arrive_as_one_array_of_json() -> None:
    with endpoint() as server:
        Webhook(server.url).deliver(messages(1, 2))
    assert json.loads(server.bodies[0]) == [{"id": "run-1"}, {"id": "run-2"}]
    assert server.headers[0]["content-type"] == "application/json"
    assert "webhook-signature" not in server.headers[0]


def test_the_signature_is_that_of_the_standard() -> None:
    # what the standardwebhooks package, 1.1.0, signs this message with: the test vector of its authors
    hook = Webhook("http://127.0.0.1", SECRET)
    signature = hook.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_every_request_is_signed_and_two_of_different_content_have_different_names() -> None:
    with endpoint() as server:
        hook = Webhook(server.url, SECRET)
        for batch in (messages(1), messages(1, 2), messages(1)):
            hook.deliver(batch)
    for headers, body in zip(server.headers, server.bodies, strict=True):
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = hmac.new(base64.b64decode(SECRET.removeprefix("whsec_")), signed, hashlib.sha256).digest()
        assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    first, longer, again = (headers["webhook-id"] for headers in server.headers)
    assert first == again != longer


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_success_confirms(status: int) -> None:
    with endpoint() as server:
        server.answer = lambda _: status
        Webhook(server.url).deliver(messages(1))
        assert len(server.confirmed) == 1


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_is_the_fault_of_the_content_is_refused(status: int) -> None:
    with endpoint() as server, pytest.raises(Refused, match=f"answers {status}"):
        server.answer = lambda _: status
        Webhook(server.url).deliver(messages(1))


@pytest.mark.parametrize("status", [301, 302, 307, 308, 401, 403, 404, 408, 410, 429, 500, 502, 503])
def test_what_may_be_mended_is_tried_again_and_no_redirect_is_followed(status: int) -> None:
    with endpoint() as server:
        server.answer = lambda _: status
        with pytest.raises(Unreachable, match=f"answers {status}"):
            Webhook(server.url).deliver(messages(1))
        assert len(server.bodies) == 1


def test_a_receiver_that_hangs_up_is_none() -> None:
    with endpoint() as server:
        server.answer = lambda _: None
        with pytest.raises(Unreachable, match="without response"):
            Webhook(server.url).deliver(messages(1))


def test_nobody_there_is_said_so() -> None:
    with pytest.raises(Unreachable, match=r"^connection refused$"):
        Webhook(f"http://127.0.0.1:{free_port()}/").deliver(messages(1))


@pytest.mark.parametrize("words", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 two hundred\r\n\r\n", bytes(70_000)])
def test_a_receiver_that_is_silent_or_speaks_something_else_is_none(
    words: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1)
                connection.sendall(words)
                while connection.recv(65536):
                    pass

        threading.Thread(target=talk, daemon=True).start()
        with pytest.raises(Unreachable) as told:
            Webhook(f"http://127.0.0.1:{server.getsockname()[1]}/").deliver(messages(1))
    assert str(told.value) == ("does not speak HTTP" if words else "timed out")


def test_a_certificate_of_nobody_is_not_trusted_and_one_of_an_authority_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography")
    certificate = tmp_path / "server.pem"
    make_certificate(certificate)
    with endpoint(certificate) as server:
        with pytest.raises(Unreachable, match=r"certificate not trusted .*SSL_CERT_FILE"):
            Webhook(server.url).deliver(messages(1))
        assert server.bodies == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        Webhook(server.url).deliver(messages(1))
        assert len(server.bodies) == 1


def test_user_and_password_go_into_the_header_and_nowhere_else() -> None:
    with endpoint() as server:
        hook = Webhook(server.url.replace("http://", "http://max:p%40ss%2Fword@"))
        hook.deliver(messages(1))
    assert base64.b64decode(server.headers[0]["authorization"].removeprefix("Basic ")) == b"max:p@ss/word"
    assert hook.name == f"webhook 127.0.0.1:{server.port}"


@pytest.mark.parametrize(
    "url",
    [
        "", "example.org/hook", "ftp://example.org/", "file:///etc/passwd", "http://", "http:///hook", "http://h:99999/",
        "http://h:x/", "http://exa mple.org/", "http://example.org/a b", "http://example.org/\r\nX: y", "http://münchen.de/",
        "http://[::1/", "https://max:geheim@/",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_in_one_line_without_a_secret(url: str) -> None:
    with pytest.raises(UserError, match=r"^--webhook: not an address; give http://HOST/PATH") as told:
        Webhook(url)
    assert "geheim" not in str(told.value)


@pytest.mark.parametrize(
    "secret", ["", "geheim", "whsec_", "whsec_Z2VoZWlt", "whsec_" + "A" * 200, "whsec_-_" + "A" * 40]
)
def test_what_is_no_secret_is_refused_in_one_line_without_it(secret: str) -> None:
    with pytest.raises(UserError, match="openssl rand -base64 32") as told:
        Webhook("http://example.org", secret)
    assert not secret or secret not in str(told.value).replace("whsec_$", "")


def test_the_receiver_of_the_documentation_takes_what_is_signed_and_nothing_else(tmp_path: Path) -> None:
    program = next(
        block.partition("```")[0] for block in DOCUMENT.read_text().split("```python\n") if "HTTPServer" in block
    )
    port = free_port()
    (tmp_path / "receiver.py").write_text(program.replace("8000", str(port)))
    environment = {"WEBHOOK_SECRET": SECRET, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "receiver.py"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as receiver:
        try:
            wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
            url = f"http://127.0.0.1:{port}/"
            Webhook(url, SECRET).deliver(messages(1, 2))
            with pytest.raises(Unreachable, match="answers 401"):
                Webhook(url, SECRET[:-4] + "AAAA").deliver(messages(3))
            Webhook(url, SECRET).deliver(messages(2, 4))
        finally:
            receiver.terminate()
        assert receiver.stdout is not None
        assert receiver.stdout.read().split() == [b"run-1", b"run-2", b"run-4"]
