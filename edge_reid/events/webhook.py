"""Events by HTTP: a POST of a JSON array, signed as https://www.standardwebhooks.com says."""

from __future__ import annotations

import base64
import binascii
import hmac
import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from edge_reid.errors import UserError
from edge_reid.events.delivery import Refused, Unreachable, reason_of
from edge_reid.events.outbox import Message

TIMEOUT_SECONDS = 10.0

FAULT_OF_THE_MESSAGE = {400, 413, 422}
"""Answers that another attempt will not change. Any other failure may be mended at the receiver: a wrong secret, a
wrong path, a server that is down."""


class Webhook:
    """A receiver behind an HTTP or HTTPS address: any answer 2xx confirms, and no redirect is followed.

    Python's own client is enough: one request at a time, proxies and certificates as the environment says
    (`HTTPS_PROXY`, `SSL_CERT_FILE`).
    """

    kind = "webhook"
    most = 100

    def __init__(self, url: str, secret: str | None = None) -> None:
        """Prepare; connects to nobody.

        Args:
            url: where to send; user and password in it are sent as HTTP Basic authentication and never shown.
            secret: `whsec_` and 24 to 64 bytes in base64, to sign with; None: unsigned.

        Raises:
            UserError: the address or the secret is none.
        """
        self._key = None if secret is None else _key(secret)
        self._headers = {"Content-Type": "application/json", "User-Agent": "edge-reid"}
        parts = _parts(url)
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        host = parts.netloc.rpartition("@")[2]
        self._url = urlunsplit((parts.scheme, host, parts.path or "/", parts.query, ""))
        # path and query of such addresses often are the password
        self.name = f"webhook {host}"
        self._opener = urllib.request.build_opener(
            _NoRedirect, urllib.request.HTTPSHandler(context=ssl.create_default_context())
        )

    def deliver(self, messages: Sequence[Message]) -> None:
        """Send the messages' payloads as one JSON array.

        Raises:
            Unreachable: no answer, or one that may change.
            Refused: the answer says that it is the content's fault.
        """
        body = b"[" + b",\n".join(message.payload for message in messages) + b"]"
        # the same name for the same content, and no other: who knows a name may throw away what comes with it again
        headers = self._headers | self._signed(f"{messages[0].key}+{len(messages)}", body)
        request = urllib.request.Request(self._url, body, headers, method="POST")
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS):
                pass
        except urllib.error.HTTPError as error:
            error.close()
            answer = f"answers {error.code} {http.client.responses.get(error.code, '')}".rstrip()
            raise (Refused if error.code in FAULT_OF_THE_MESSAGE else Unreachable)(answer) from None
        except urllib.error.URLError as error:
            raise Unreachable(reason_of(error.reason)) from None
        except OSError as error:
            raise Unreachable(reason_of(error)) from None
        except http.client.HTTPException:  # whose text is the other side's, and may be anything
            raise Unreachable("does not speak HTTP") from None

    def close(self) -> None:
        """Nothing is held open between requests."""

    def signature(self, identifier: str, now: int, body: bytes) -> str:
        """What proves that a body comes from who knows the secret, as the header `webhook-signature` has it."""
        signed = f"{identifier}.{now}.".encode() + body
        return f"v1,{base64.b64encode(hmac.digest(self._key or b'', signed, 'sha256')).decode()}"

    def _signed(self, identifier: str, body: bytes) -> dict[str, str]:
        if self._key is None:
            return {}
        now = int(time.time())
        return {
            "webhook-id": identifier,
            "webhook-timestamp": str(now),
            "webhook-signature": self.signature(identifier, now, body),
        }


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """What was sent to one address is not to be sent to another."""

    def redirect_request(self, *_: object) -> None:
        """Follow nothing: a redirect becomes an error like any other answer."""


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    # what a library would complain about later, with the whole address in its complaint
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise UserError("--webhook: not an address; give http://HOST/PATH or https://HOST/PATH, percent-encoded")
    return parts


def _key(secret: str) -> bytes:
    prefix, _, encoded = secret.strip().partition("_")
    try:
        key = base64.b64decode(encoded, validate=True) if prefix == "whsec" else b""
    except binascii.Error:
        key = b""
    if not 24 <= len(key) <= 64:
        raise UserError(
            "the webhook's secret is none; make one with `echo whsec_$(openssl rand -base64 32)` and give it to both"
        )
    return key
