"""Real receivers for the tests: an HTTP server that can be away or in a bad mood, and an authority for certificates."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from edge_reid.events.outbox import Message


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until it holds; a machine that has other work may take its time."""
    latest = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < latest, "waited in vain"
        time.sleep(0.01)


def messages(*numbers: int) -> list[Message]:
    return [Message(f"run-{number}", "app/started", json.dumps({"id": f"run-{number}"}).encode()) for number in numbers]


class Endpoint:
    """What webhooks are sent to. `answer` gives the status for a request, or None to hang up without a word."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.port = free_port()
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}/hook"
        self.answer: Callable[[list[dict[str, Any]]], int | None] = lambda _: 204
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.confirmed: list[str] = []
        """Ids of the events that it has had, in the order in which they came first."""
        self._certificate = certificate
        self._server: ThreadingHTTPServer | None = None

    def open(self) -> None:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                events = json.loads(body)
                endpoint.headers.append({name.lower(): value for name, value in self.headers.items()})
                endpoint.bodies.append(body)
                status = endpoint.answer(events)
                if status is None or 200 <= status < 300:
                    seen = set(endpoint.confirmed)
                    endpoint.confirmed += [event["id"] for event in events if event["id"] not in seen]
                if status is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        if self._certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@contextlib.contextmanager
def endpoint(certificate: Path | None = None) -> Iterator[Endpoint]:
    server = Endpoint(certificate)
    server.open()
    try:
        yield server
    finally:
        server.close()


def make_certificate(path: Path) -> None:
    """A key and a certificate for 127.0.0.1 that no authority has signed but itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "edge-reid test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + certificate.public_bytes(encoding))
