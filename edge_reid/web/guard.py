"""What stands before every request: which names the page answers to, who may ask, and what a browser may do with it."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from functools import partial

from pydantic import BaseModel
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_reid.web.keys import SESSION_SECONDS, WRONG_SECONDS, Keys, TooManyWrong

READING = ("GET", "HEAD")

MOST_BODY = 4096
"""Bytes of the largest request that the page makes, and then some."""

_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[\w.-]+)(:\d{1,5})?", re.ASCII)

HEADERS = {
    # no markup from strings (Trusted Types): a name is text whatever is in it
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class Guard:
    """Lets through what comes from the page itself or with the token, and puts the security headers on every answer."""

    def __init__(self, app: ASGIApp, *, keys: Keys, open_paths: frozenset[str], cookie: str) -> None:
        """Protect an app, except for the paths that anyone may read."""
        self._app = app
        self._keys = keys
        self._open = open_paths
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the app answer."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        request = Request(scope, receive)
        path, method = request.scope["path"], request.method
        if (path, method) == ("/login", "POST"):
            answer: ASGIApp | None = self._foreign(request) or await self._login(request)
        elif (path, method) == ("/logout", "POST"):
            answer = self._foreign(request) or self._logout(request)
        else:
            answer = self._foreign(request) or self._stranger(request)
        await (answer or self._app)(scope, receive, send_with_headers)

    def _foreign(self, request: Request) -> Response | None:
        """A refusal of what another site had a browser ask."""
        host = request.headers.get("host", "")
        if not _is_own_name(host):
            return refusal(421, "this page answers to its address, to localhost and to the machine's name only")
        origin = request.headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return refusal(403, "requests from other sites are refused")
        if request.scope["path"] not in self._open and request.headers.get("sec-fetch-site") in (
            "cross-site",
            "same-site",
        ):
            return refusal(403, "requests from other sites are refused")
        return None

    def _stranger(self, request: Request) -> Response | None:
        """A refusal of who has neither the token nor a session."""
        if request.scope["path"] in self._open and request.method in READING:
            return None
        request.state.admitted = lambda: True  # asked again by answers that go on and on
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            try:
                return None if self._keys.opens(token.strip(), _address(request)) else _wrong()
            except TooManyWrong:
                return _too_many()
        session = request.cookies.get(self._cookie, "")
        if not self._keys.admits(session):
            return refusal(401, "sign in with the token first")
        request.state.admitted = partial(self._keys.admits, session)
        # the browser adds the cookie by itself, so that somebody else's page might be asking
        if request.method not in READING and "origin" not in request.headers:
            return refusal(403, "changes need an Origin header or the token")
        return None

    async def _login(self, request: Request) -> Response:
        body = await limited_body(request)
        if body is None:
            return refusal(413, "the request is too large")
        try:
            if not self._keys.opens(_Login.model_validate_json(body).token, _address(request)):
                return _wrong()
        except TooManyWrong:
            return _too_many()
        except ValueError:
            return refusal(400, 'send {"token": ...}')
        response = Response(status_code=204)
        response.set_cookie(
            self._cookie, self._keys.session(), max_age=int(SESSION_SECONDS), httponly=True, samesite="strict"
        )
        return response

    def _logout(self, request: Request) -> Response:
        self._keys.end(request.cookies.get(self._cookie, ""))
        response = Response(status_code=204)
        response.delete_cookie(self._cookie, httponly=True, samesite="strict")
        return response


class _Login(BaseModel):
    token: str


def refusal(status: int, reason: str) -> Response:
    """An answer that says no, and why."""
    return JSONResponse({"error": reason}, status_code=status)


async def limited_body(request: Request) -> bytes | None:
    """The body of a request, None for one that is larger than any of the page's own or never came whole."""
    body = b""
    with contextlib.suppress(ClientDisconnect):
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BODY:
                return None
        return body
    return None


def _is_own_name(host: str) -> bool:
    """Whether a Host header names no domain: who makes a browser believe that a domain is this machine sends its name.

    Ports are left alone, for a tunnel has another one.
    """
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name, machine = match["name"].strip("[]").lower(), socket.gethostname().lower()
    return name in ("localhost", machine, f"{machine}.local") or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _wrong() -> Response:
    return refusal(401, "the token is wrong")


def _too_many() -> Response:
    response = refusal(429, "too many wrong tokens; wait a minute")
    response.headers["Retry-After"] = str(int(WRONG_SECONDS))
    return response
