from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("psycopg")
pytest.importorskip("pgserver")
import pgserver
import psycopg

from edge_reid.fleet.address import Address, connected
from edge_reid.fleet.admission import admit
from edge_reid.fleet.schema import add_space, migrate

SPACE, DIMENSION = "model-a", 16

_numbers = itertools.count(1)


@dataclass
class Fleet:
    """A database of its own on a real server, and whoever logs in there."""

    socket: str
    database: str
    logins: list[str] = field(default_factory=list)

    def url(self, login: str) -> str:
        return f"postgresql://{login}@/{self.database}?host={self.socket}"

    def address(self, login: str = "postgres") -> Address:
        return Address.read(self.url(login))

    @contextlib.contextmanager
    def open(self, login: str = "postgres") -> Iterator[psycopg.Connection[Any]]:
        with connected(self.address(login)) as connection:
            yield connection

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        with self.open() as connection:
            return connection.execute(query, parameters).fetchall()

    def admit(self, site: str, device: str | None = None) -> str:
        """A login for a device, or for an operator."""
        login = f"{self.database}_{len(self.logins)}"
        with self.open() as connection:
            assert admit(connection, login, site, device, None)
        self.logins.append(login)
        return login


@pytest.fixture(scope="session")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """PostgreSQL 16 with pgvector, in a folder of its own."""
    folder = tmp_path_factory.mktemp("postgres")
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    server = pgserver.get_server(folder / "data", cleanup_mode="delete")
    host = str(server.get_postmaster_info().socket_dir)
    with psycopg.connect(host=host, user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")  # no power fails in a test
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("CREATE DATABASE template")
    with connected(Address.read(f"postgresql://postgres@/template?host={host}"), bare=True) as connection:
        migrate(connection)
        add_space(connection, SPACE, DIMENSION)
    yield host
    server.cleanup()


@pytest.fixture
def fleet(socket: str) -> Iterator[Fleet]:
    made = Fleet(socket, f"fleet_{os.getpid()}_{next(_numbers)}")
    with psycopg.connect(host=socket, user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {made.database} TEMPLATE template")  # type: ignore[arg-type]
        yield made
        connection.execute(f"DROP DATABASE {made.database} WITH (FORCE)")  # type: ignore[arg-type]
        for login in made.logins:
            connection.execute(f"DROP ROLE {login}")  # type: ignore[arg-type]


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.gallery"
