"""Values as they lie in the file: as they are, or under AES-256-GCM, each bound to its place.

A value that was moved to another row or column does not open: the place is authenticated with it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Protocol

from edge_reid.errors import UserError

KEY_VARIABLE = "EDGE_REID_GALLERY_KEY"

KEY_BYTES = 32
NONCE_BYTES = 12


class Cipher(Protocol):
    """Turns values into what is stored and back. `scheme` is the name in the file."""

    scheme: str
    encrypts: bool

    def seal(self, value: bytes, place: str) -> bytes:
        """What is stored at a place (table/row/column)."""

    def unseal(self, stored: bytes, place: str) -> bytes:
        """The value. Raises ValueError where this is not what was stored at that place under this key."""


class Plain:
    """No encryption."""

    scheme = "none"
    encrypts = False

    def seal(self, value: bytes, place: str) -> bytes:
        """The value itself."""
        return value

    def unseal(self, stored: bytes, place: str) -> bytes:
        """The value itself."""
        return stored


class AesGcm:
    """AES-256-GCM with a random nonce before each value."""

    scheme = "AES-256-GCM"
    encrypts = True

    def __init__(self, key: bytes) -> None:
        """Take the key's 32 bytes."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._aes = AESGCM(key)

    def seal(self, value: bytes, place: str) -> bytes:
        """Nonce, cipher text, tag."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._aes.encrypt(nonce, value, place.encode())

    def unseal(self, stored: bytes, place: str) -> bytes:
        """Check and decrypt."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._aes.decrypt(stored[:NONCE_BYTES], stored[NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError) as error:  # the second for what is too short to hold a nonce
            raise ValueError("not what this key has sealed") from error


def make_key(path: Path) -> None:
    """Write a random key into a new file that only its owner can read.

    Raises:
        UserError: the file exists: writing over a key would lose what it opens.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UserError(f"{path} exists and may be a gallery's key; choose another file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another file") from error
    with os.fdopen(handle, "w") as file:
        file.write(os.urandom(KEY_BYTES).hex() + "\n")


def read_key(path: Path | None) -> bytes | None:
    """The key in a file, else the one in the environment, else None.

    Raises:
        UserError: it is no key, or others than the owner can read the file.
    """
    if path is None:
        text, origin = os.environ.get(KEY_VARIABLE), KEY_VARIABLE
        return None if text is None else _parsed(text, origin)
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise UserError(f"{path}: others can read this key; chmod 600 {path}")
            return _parsed(file.read(1024), str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); make one with `edge-reid gallery key`") from error


def _parsed(text: str, origin: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise UserError(f"{origin}: not a key of 64 hexadecimal digits; make one with `edge-reid gallery key FILE`")
    return key
