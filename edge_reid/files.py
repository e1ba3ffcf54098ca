"""Outputs that are whole or absent: written to a temporary name beside their place, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edge_reid.errors import UserError


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; on success it becomes `path`, on any error it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes private files; an output is an ordinary one
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def atomic_folder(path: Path, *, overwrite: bool = False, marker: str) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it becomes `path`, on any error it is removed.

    Args:
        path: the folder to write.
        overwrite: replace an existing one.
        marker: a file that every such folder holds; one without it is not ours to replace.

    Raises:
        UserError: see `refuse_existing`.
    """
    refuse_existing(path, overwrite=overwrite, marker=marker)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def refuse_existing(path: Path, *, overwrite: bool, marker: str) -> None:
    """Refuse to write a folder over an existing one: call it before long work, not after.

    Raises:
        UserError: `path` exists, and `overwrite` is false or it is a file or a folder with other things in it.
    """
    if not path.exists():
        return
    if not overwrite:
        raise UserError(f"{path} exists; choose another output or pass --overwrite")
    if not path.is_dir() or (any(path.iterdir()) and not (path / marker).is_file()):
        raise UserError(
            f"{path}: --overwrite replaces only what this command wrote (there is no {marker} in it); "
            "choose another output or remove it yourself"
        )


def lock(path: Path, what: str) -> int:
    """The open lock file of `path`, which no other process holds; the system frees it when this one ends.

    Args:
        path: what is to be written; the lock file lies hidden beside it.
        what: is written there, for a message.

    Raises:
        UserError: another process holds it.
        OSError: the lock file cannot be written.
    """
    handle = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o640)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise UserError(f"{path}: another process writes its {what} there; choose another file or end it") from error
    return handle


def sha256(path: Path) -> str:
    """The hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
