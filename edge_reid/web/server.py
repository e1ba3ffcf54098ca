"""The page on an address of this machine, on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import secrets
import socket
import threading
import time

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge_reid.errors import UserError
from edge_reid.web.board import Board, Desk
from edge_reid.web.guard import Guard
from edge_reid.web.keys import ENVIRONMENT, Keys
from edge_reid.web.routes import OPEN_PATHS, Routes, explain

MOST_CONNECTIONS = 128
"""More than fifty viewers have, and far fewer than the files that a process may hold open."""

FIRST_REQUEST_SECONDS = 10
UNREAD_SECONDS = 30
"""Time after which a viewer who takes nothing of what was sent is cut off."""

log = logging.getLogger(__name__)


class Server:
    """A page that is being served. `url` opens it; it holds the token where that was made up for this run."""

    def __init__(self, routes: Routes, server: uvicorn.Server, listener: socket.socket, url: str) -> None:
        """Begin to answer."""
        self.url = url
        self._routes = routes
        self._server = server
        self._thread = threading.Thread(target=server.run, args=([listener],), name="web", daemon=True)
        self._thread.start()
        while not server.started and self._thread.is_alive():
            time.sleep(0.005)

    def close(self) -> None:
        """Let go of every viewer, the address and all threads."""
        self._routes.stop()
        self._server.should_exit = True
        self._thread.join()
        self._routes.close()


def serve(board: Board, desk: Desk, host: str, port: int, token: str | None) -> Server:
    """Show a board and ask a desk until the server is closed.

    Args:
        board: what there is to show.
        desk: what may be asked.
        host: an address of this machine, or `localhost`.
        port: 0 takes any that is free.
        token: what opens the page, see `edge_reid.web.keys.given_token`; None makes one up.

    Raises:
        UserError: see `listen`.
    """
    listener = listen(host, port, token)
    address, port = listener.getsockname()[:2]
    routes = Routes(board, desk)
    keys = Keys(token if token is not None else (made_up := secrets.token_urlsafe(24)))
    guard = Middleware(Guard, keys=keys, open_paths=OPEN_PATHS, cookie=f"edge_reid_{port}")
    app = Starlette(routes=routes.all(), middleware=[guard], exception_handlers={HTTPException: explain})
    config = uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    url = f"http://{_shown(address)}:{port}/" + (f"#{made_up}" if token is None else "")
    return Server(routes, _Uvicorn(config), listener, url)


class _Uvicorn(uvicorn.Server):
    """Ends without waiting for viewers, who may never read what they were sent."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            if isinstance(connection, _Connection):
                connection.transport.abort()
        await super().shutdown(sockets)


class _Connection(H11Protocol):
    """One viewer's connection, closed at once where there are too many and soon where nothing is asked."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        self.timeout_keep_alive_task = self.loop.call_later(FIRST_REQUEST_SECONDS, self.timeout_keep_alive_handler)


def listen(host: str, port: int, token: str | None) -> socket.socket:
    """A listening socket for a page; warns where others than this machine can reach it. The arguments are `serve`'s.

    Raises:
        UserError: the address is not this machine's, the port is in use, or others than this machine could ask and
            no token was given.
    """
    listener = _listen(host, port)
    address, port = listener.getsockname()[:2]
    if not ipaddress.ip_address(address).is_loopback:
        if token is None:
            listener.close()
            raise UserError(
                f"{host}: others than this machine can reach this address; set {ENVIRONMENT} or name a token file, "
                "or serve on 127.0.0.1"
            )
        log.warning(
            "the page on %s is not encrypted (no TLS): whoever reads the network reads it too; "
            "safer is 127.0.0.1 and, elsewhere, ssh -L %d:127.0.0.1:%d",
            host, port, port,
        )  # fmt: skip
    return listener


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        UserError: it cannot be had.
    """
    if not 0 <= port <= 65535:  # the resolver would take the remainder
        raise UserError(f"port {port}: ports go from 0 to 65535; choose another")
    with contextlib.ExitStack() as undo:
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            listener = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # connections inherit it; Linux only
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * UNREAD_SECONDS)
            listener.bind(address)
            listener.listen(64)
        except OSError as error:
            reason = " ".join((error.strerror or str(error)).split()).lower()
            raise UserError(f"the page cannot be had at {host} port {port}: {reason}; choose another") from error
        undo.pop_all()
        return listener


def _shown(address: str) -> str:
    """An address as a browser wants it; who listens on all addresses is called by the machine's name."""
    ip = ipaddress.ip_address(address)
    if ip.is_unspecified:
        return socket.gethostname()
    return f"[{address}]" if ip.version == 6 else address
