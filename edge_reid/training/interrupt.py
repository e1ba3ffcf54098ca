"""Ctrl-C without a torn state: the request is noted, and the loop stops where it can be gone on from."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class StopRequest:
    """True once somebody asked the run to stop."""

    def __init__(self) -> None:
        self._asked = False

    def __bool__(self) -> bool:
        return self._asked

    def ask(self, signum: int, _: FrameType | None) -> None:
        """The signal handler. A second request does not wait for the step to end."""
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True


@contextlib.contextmanager
def stop_on_request() -> Iterator[StopRequest]:
    """While this lasts, SIGINT and SIGTERM set the yielded flag. Outside the main thread nothing is handled."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {number: signal.signal(number, request.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
