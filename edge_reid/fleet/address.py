"""Where the fleet's database is. Encryption, passwords and rights are the engine's own; this says what they must be."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from pgvector.psycopg import register_vector
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from edge_reid.errors import UserError
from edge_reid.fleet.records import is_address

CONNECT_SECONDS = 5
DEAD_SECONDS = 15
"""After which a connection that says nothing at all counts as broken: a cut cable tells nobody."""

TRUSTED = ("verify-ca", "verify-full")
"""Values of sslmode that let nobody else pose as the server."""


@dataclass(frozen=True)
class Address:
    """A database, as libpq takes it, and how it is called without a secret."""

    name: str
    parameters: dict[str, Any]

    @classmethod
    def read(cls, url: str) -> Address:
        """The address `postgresql://[USER@]HOST[:PORT][,HOST...]/DATABASE[?OPTION=VALUE]`.

        Beyond this machine the server must prove who it is: `sslmode` is verify-full unless the address says verify-ca.
        A password comes from PGPASSWORD, from the file that PGPASSFILE names, or is none with a client's certificate.

        Raises:
            UserError: it is none, holds a password, or would let the password be read on the way.
        """
        form = "needs postgresql://USER@HOST/DATABASE"
        try:
            parameters = dict(conninfo_to_dict(url)) if is_address(url) else {}
        except psycopg.Error as error:
            raise UserError(f"the fleet's address: {form}") from error  # libpq's message would quote a password
        if not parameters:
            raise UserError(f"the fleet's address: {form}")
        if {"password", "sslpassword", "passfile"} & parameters.keys():
            raise UserError(
                "the fleet's address: holds a password, which everybody on this machine could read; leave it out and "
                "set PGPASSWORD, or name a file of yours alone in PGPASSFILE"
            )
        host = str(parameters.get("host", ""))
        name = f"postgresql://{host}/{parameters.get('dbname', '')}"
        if not all(_is_here(one) for one in host.split(",")):
            mode = parameters.setdefault("sslmode", "verify-full")
            if mode not in TRUSTED:
                raise UserError(
                    f"{name}: sslmode={mode} would give a password to whoever answers; use verify-full, with "
                    "sslrootcert=FILE for an authority of your own"
                )
            if mode == "verify-full":
                parameters.setdefault("sslrootcert", "system")
        liveness = {
            "connect_timeout": CONNECT_SECONDS, "keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 2,
            "tcp_user_timeout": 1000 * DEAD_SECONDS, "application_name": "edge-reid",
        }  # fmt: skip
        return cls(name, liveness | parameters)


def connect(address: Address, *, bare: bool = False) -> psycopg.Connection[Any]:
    """A connection in autocommit mode; `bare` where there may be no tables yet. Raises what psycopg raises."""
    connection = psycopg.connect(**address.parameters, autocommit=True, prepare_threshold=None)
    try:
        connection.execute("SET search_path = edge_reid, public")
        if not bare:
            register_vector(connection)
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def connected(address: Address, *, bare: bool = False) -> Iterator[psycopg.Connection[Any]]:
    """A connection as `connect` makes it, closed with the context; what goes wrong within is told in one line.

    Raises:
        UserError: nobody answers there, or the login may not do what was asked.
    """
    with telling(address), contextlib.closing(connect(address, bare=bare)) as connection:
        yield connection


@contextlib.contextmanager
def limited(connection: psycopg.Connection[Any], seconds: float) -> Iterator[None]:
    """Break the connection if what is done with it takes longer: a server that hangs never says so."""

    def hang_up() -> None:
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(handle)) as same:
            same.shutdown(socket.SHUT_RDWR)

    handle = connection.fileno()
    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def telling(address: Address) -> Iterator[None]:
    """Turn what psycopg raises into one line."""
    try:
        yield
    except (psycopg.Error, ConnectionError, TimeoutError) as error:
        raise told(address, error) from error


def told(address: Address, error: Exception) -> UserError:
    """What PostgreSQL says, in one line with a remedy and without a secret."""
    text = " ".join(str(error).split())
    if isinstance(error, (errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedFunction)) or (
        isinstance(error, psycopg.ProgrammingError) and "vector type not found" in text
    ):
        return UserError(
            f"{address.name}: no fleet there, or none that this login may see; `edge-reid fleet migrate` makes one, "
            "`edge-reid fleet admit` lets a login in"
        )
    if isinstance(error, errors.InsufficientPrivilege):
        return UserError(
            f"{address.name}: this login may not do that ({text[:120]}); `edge-reid fleet admit` gives rights"
        )
    if isinstance(error, errors.QueryCanceled):
        return UserError(f"{address.name}: takes too long; try again, or narrow the search")
    if isinstance(error, (psycopg.OperationalError, ConnectionError, TimeoutError)):
        return UserError(f"{address.name}: {_reason(text)}; check the address, the network and PGPASSWORD")
    return UserError(f"{address.name}: {text[:200]}")


def _reason(text: str) -> str:
    """The middle of what libpq says, which begins with the address it tried."""
    return text.rsplit("failed: ", 1)[-1].removeprefix("FATAL: ").strip()[:200] or "does not answer"


def _is_here(host: str) -> bool:
    """Whether nobody is between us and the host: a socket in the file system, or this very machine."""
    if host in ("", "localhost") or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
