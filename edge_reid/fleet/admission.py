"""Who may log in: devices of a site, which add and search, and operators, who see a site's history or everybody's."""

from __future__ import annotations

from typing import Any

from psycopg import Connection, errors, sql

from edge_reid.errors import UserError


def admit(connection: Connection[Any], login: str, site: str, device: str | None, password: str | None) -> bool:
    """Let a login in; returns whether its role is new.

    Args:
        connection: of somebody who may make roles.
        login: a role of PostgreSQL's; made if it is missing.
        site: whose; `*` for an operator of all.
        device: None: an operator.
        password: None: as before, or none, for certificates; it is hashed here and never sent or logged.

    Raises:
        UserError: the login, or the device, is admitted as something else.
    """
    group = "edge_reid_operator" if device is None else "edge_reid_device"
    with connection.transaction():
        there = connection.execute("SELECT site, device FROM login WHERE login = %s", (login,)).fetchone()
        if there not in (None, (site, device)):
            raise UserError(f"login {login} is {'/'.join(filter(None, there or ()))} already; choose another")
        try:
            connection.execute(
                "INSERT INTO login (login, site, device) VALUES (%s, %s, %s) ON CONFLICT (login) DO NOTHING",
                (login, site, device),
            )
        except errors.UniqueViolation as error:
            raise UserError(f"{site}/{device} has another login already; choose another device") from error
        new = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (login,)).fetchone() is None
        role = sql.Identifier(login)
        if new:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), role))
        if password is not None:
            verifier = connection.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256")
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(verifier.decode())))
    return new
