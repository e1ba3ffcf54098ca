"""From a path, a model and a key to an open file, or to the one line that says why not."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

from edge_reid.errors import UserError
from edge_reid.gallery.cipher import KEY_VARIABLE, AesGcm, Cipher, Plain
from edge_reid.gallery.file import Settings, configure, connect, create, fill, read_settings, write_keep
from edge_reid.gallery.records import Keep
from edge_reid.gallery.store import SQLITE_ERRORS, told

Opened = tuple[sqlite3.Connection, Settings, Cipher]


def open_file(path: Path, space: str | None, dimension: int | None, key: bytes | None, keep: Keep | None) -> Opened:
    """Open a gallery's file; with a model make one that is missing. See `edge_reid.gallery.sqlite.SqliteGallery`.

    Raises:
        UserError: as there.
    """
    if space is not None and dimension is not None and not path.exists():
        create(path, space, dimension, _cipher_of(key), keep or Keep())
    if not path.exists():
        raise UserError(f"{path}: no such gallery; `edge-reid gallery enrol` or an app's --gallery makes one")
    connection = connect(path)
    try:
        settings, cipher = read_settings(connection, str(path), lambda scheme: _fitting_cipher(path, scheme, key))
        _check_model(path, settings, space, dimension)
        if keep is not None and keep != settings.keep:
            write_keep(connection, keep)
            settings = replace(settings, keep=keep)
    except SQLITE_ERRORS as error:
        connection.close()
        raise told(str(path), error) from error
    except BaseException:
        connection.close()
        raise
    return connection, settings, cipher


def open_memory(space: str | None, dimension: int | None, keep: Keep | None) -> Opened:
    """An empty gallery that is gone when it is closed."""
    if space is None or dimension is None:
        raise ValueError("a gallery in memory needs a space and a dimension")
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    configure(connection)
    fill(connection, space, dimension, Plain(), keep or Keep())
    return connection, Settings(space, dimension, keep or Keep(), wipe=False), Plain()


def _cipher_of(key: bytes | None) -> Cipher:
    return Plain() if key is None else AesGcm(key)


def _fitting_cipher(path: Path, scheme: str, key: bytes | None) -> Cipher:
    if scheme == Plain.scheme and key is not None:
        raise UserError(
            f"{path}: not encrypted, but a key was given; leave --key and {KEY_VARIABLE} out, or export and import it "
            "into a new gallery with the key"
        )
    if scheme != Plain.scheme and key is None:
        raise UserError(f"{path}: encrypted; give its key with --key FILE (the app: --gallery-key) or {KEY_VARIABLE}")
    return _cipher_of(key)


def _check_model(path: Path, settings: Settings, space: str | None, dimension: int | None) -> None:
    if space is None or (space, dimension) == (settings.space, settings.dimension):
        return
    raise UserError(
        f"{path}: made with model {settings.space} ({settings.dimension} numbers), this one is {space} ({dimension}); "
        "use the bundle it was made with or another gallery"
    )
