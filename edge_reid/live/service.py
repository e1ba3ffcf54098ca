"""Being a service: telling systemd how it goes, and taking the secrets that it hands over.

Without systemd all of this does nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from edge_reid.errors import UserError


def notify(state: str) -> None:
    """Tell the service manager `READY=1`, `WATCHDOG=1`, `STOPPING=1` or `STATUS=...`; never waits for it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    # what is lost when the manager does not listen is its own loss
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setblocking(False)
        manager.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)


def take_credentials() -> None:
    """Make environment variables of the files that `LoadCredential=NAME:FILE` hands over; what is set stays so.

    Raises:
        UserError: one cannot be read or is no text.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return
    for path in sorted(Path(folder).iterdir()):
        try:
            os.environ.setdefault(path.name, path.read_text(encoding="utf-8").strip())
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            raise UserError(
                f"credential {path.name}: cannot be read ({reason}); mend its LoadCredential line"
            ) from error
