"""Who may look: the token, the sessions that it opens, and a bound on guessing."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from pathlib import Path

from edge_reid.errors import UserError

ENVIRONMENT = "EDGE_REID_WEB_TOKEN"

LEAST_LENGTH = 16
SESSION_SECONDS = 7 * 24 * 3600.0

MOST_WRONG, WRONG_SECONDS = 10, 60.0
"""Wrong tokens that an address may try within a time."""

MOST_ADDRESSES = 1024

MOST_ENDED = 1024
"""Sessions that were ended before their time and are remembered, so that they stay ended."""


class TooManyWrong(Exception):  # noqa: N818 (an answer, not a fault)
    """An address has guessed too often and is not listened to for a while."""


def given_token(file: Path | None = None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The token in a file, else the one in the environment variable EDGE_REID_WEB_TOKEN, else None.

    Raises:
        UserError: the file cannot be read or others may read it too, or the token is too short or of several words.
    """
    source = str(file) if file else ENVIRONMENT
    token = _read(file) if file else environment.get(ENVIRONMENT)
    if token is None:
        return None
    if len(token) < LEAST_LENGTH or not token.isascii() or not token.isprintable() or " " in token:
        raise UserError(f"{source}: a token is one word of at least {LEAST_LENGTH} ASCII characters; make a longer one")
    return token


def _read(file: Path) -> str:
    try:
        mode = file.stat().st_mode
        if mode & 0o077:
            raise UserError(f"{file}: others than its owner can use it (mode {mode & 0o777:o}); chmod 600 {file}")
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise UserError(
            f"{file}: the page's token cannot be read ({reason}); name a file that holds one word"
        ) from None


class Keys:
    """Checks tokens and sessions. A session is a signed date of expiry: only one that was ended needs memory.

    It dies with the token, and outlives a restart with the same one; that forgets also which sessions were ended.
    """

    def __init__(self, token: str, clock: Callable[[], float] = time.time) -> None:
        """Take the token that opens the page."""
        self._token = _digest(token)
        self._secret = hmac.digest(token.encode(), b"edge-reid page session", "sha256")
        self._clock = clock
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()
        self._ended: set[str] = set()

    def opens(self, token: str, address: str) -> bool:
        """Whether this is the token; in the same time for every wrong one.

        Raises:
            TooManyWrong: this address has tried too many wrong ones. Also the right one is then not looked at.
        """
        now = self._clock()
        wrong = self._wrong.get(address, deque())
        while wrong and not now - WRONG_SECONDS < wrong[0] <= now:
            wrong.popleft()
        if len(wrong) >= MOST_WRONG:
            raise TooManyWrong
        if hmac.compare_digest(_digest(token), self._token):
            return True
        wrong.append(now)
        self._wrong[address] = wrong
        self._wrong.move_to_end(address)
        if len(self._wrong) > MOST_ADDRESSES:
            self._wrong.popitem(last=False)
        return False

    def session(self) -> str:
        """A new session, to be kept by the viewer."""
        # two that begin in one second are two: one may be ended without the other
        signed = f"{int(self._clock() + SESSION_SECONDS)}.{secrets.token_hex(8)}"
        return f"{signed}.{self._signature(signed)}"

    def admits(self, session: str) -> bool:
        """Whether a session is one of ours and not over."""
        signed, _, signature = session.rpartition(".")
        right = hmac.compare_digest(signature.encode(), self._signature(signed).encode())
        return right and session not in self._ended and self._clock() < _expiry(session)

    def end(self, session: str) -> None:
        """Admit a session no more, wherever it is kept; nothing happens to what is none."""
        if not self.admits(session):
            return
        self._ended = {ended for ended in self._ended if self._clock() < _expiry(ended)} | {session}
        if len(self._ended) > MOST_ENDED:
            # who signs in and out by the thousand makes everyone sign in again, but revives no session
            self._secret = secrets.token_bytes(32)
            self._ended.clear()

    def _signature(self, signed: str) -> str:
        return hmac.new(self._secret, signed.encode(), "sha256").hexdigest()


def _expiry(session: str) -> int:
    return int(session.partition(".")[0])


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()
