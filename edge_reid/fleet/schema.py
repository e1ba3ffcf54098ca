"""The tables of the fleet: versioned files, applied in order, each once, all of them or none."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Any

from psycopg import Connection, sql

from edge_reid.errors import UserError
from edge_reid.types import MODALITIES, Modality

LOCK = int.from_bytes(b"EREIDFLT", "big") >> 1
"""Of PostgreSQL's advisory locks: two who migrate wait for each other."""

LINKS, BUILD_EFFORT = 16, 128
"""HNSW's m and ef_construction: measured in docs/scale.md."""

REFERENCE_TABLES = ("space", "login", "link")
DISTRIBUTED_TABLES = ("gallery", "person", "prototype", "sighting", "forgotten", "audit")
"""On Citus: the former lie whole on every server, the latter by site, see `spread`."""

MIGRATION = """
    CREATE TABLE IF NOT EXISTS migration (
        version integer PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL,
        applied timestamptz NOT NULL DEFAULT now()
    )
"""


def migrations() -> list[tuple[int, str, str]]:
    """Version, name and text of each file, in order."""
    folder = files("edge_reid.fleet") / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(int(name.split("_")[0]), name, (folder / name).read_text(encoding="utf-8")) for name in names]


def migrate(connection: Connection[Any]) -> list[str]:
    """Apply what is missing; returns the names of the files that were applied. Whoever does it is an operator of all.

    Raises:
        UserError: the database is newer than this program, or one of its files was another one.
    """
    applied = []
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        connection.execute("CREATE SCHEMA IF NOT EXISTS edge_reid")
        connection.execute(MIGRATION)
        there = {row[0]: row[1:] for row in connection.execute("SELECT version, name, sha256 FROM migration")}
        known = migrations()
        if newer := there.keys() - {version for version, *_ in known}:
            raise UserError(f"the fleet's tables are of version {max(newer)}, newer than this edge-reid; upgrade it")
        for version, name, text in known:
            digest = hashlib.sha256(text.encode()).hexdigest()
            if version in there:
                if there[version] != (name, digest):
                    raise UserError(
                        f"the fleet's tables were made by another {there[version][0]}; restore that version"
                    )
                continue
            connection.execute(text)
            connection.execute(
                "INSERT INTO migration (version, name, sha256) VALUES (%s, %s, %s)", (version, name, digest)
            )
            applied.append(name)
        connection.execute("INSERT INTO login (login, site) VALUES (session_user, '*') ON CONFLICT DO NOTHING")
    return applied


def add_space(connection: Connection[Any], name: str, dimension: int) -> bool:
    """Let a model's vectors into the fleet, with an index of their own for each modality; False if they are in it."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        if connection.execute("SELECT 1 FROM space WHERE name = %s", (name,)).fetchone():
            return False
        row = connection.execute(
            "INSERT INTO space (name, dimension) VALUES (%s, %s) RETURNING id", (name, dimension)
        ).fetchone()
        assert row is not None  # noqa: S101 (RETURNING gives one)
        for modality in MODALITIES:
            connection.execute(index_statement(row[0], dimension, modality))
    return True


def index_name(space: int, modality: Modality) -> str:
    """Of the index over a model's vectors of a modality."""
    return f"prototype_{space}_{modality}"


def index_statement(space: int, dimension: int, modality: Modality) -> sql.Composed:
    """An index that only searches of this model and modality can use, so that no two models ever meet in it."""
    return sql.SQL(
        "CREATE INDEX {name} ON prototype USING hnsw ((vector::vector({dimension})) vector_ip_ops) "
        "WITH (m = {links}, ef_construction = {effort}) WHERE space = {space} AND modality = {modality}"
    ).format(
        name=sql.Identifier(index_name(space, modality)), dimension=sql.Literal(dimension), links=sql.Literal(LINKS),
        effort=sql.Literal(BUILD_EFFORT), space=sql.Literal(space), modality=sql.Literal(modality),
    )  # fmt: skip


def spread(connection: Connection[Any]) -> None:
    """Give the tables to Citus: sharded by site, so that all of one site lies together.

    Raises:
        UserError: the database has no Citus.
    """
    if not connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'citus'").fetchone():
        raise UserError("--citus: this database has no extension citus; create it on every server first")
    with connection.transaction():
        for table in REFERENCE_TABLES:
            connection.execute("SELECT create_reference_table(%s)", (f"edge_reid.{table}",))
        for table in DISTRIBUTED_TABLES:
            connection.execute("SELECT create_distributed_table(%s, 'site')", (f"edge_reid.{table}",))
