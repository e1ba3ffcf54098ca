"""The one place that the loop tells events to. It waits for no disk and no network."""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from edge_reid.errors import UserError, one_line
from edge_reid.events.delivery import Deliverer, Receiver
from edge_reid.events.feeder import Feeder
from edge_reid.events.log import EventLog, Rotation
from edge_reid.events.outbox import Outbox
from edge_reid.events.schema import VERSION
from edge_reid.events.writer import Writer
from edge_reid.types import Json

logger = logging.getLogger(__name__)


class Events:
    """Events become lines of a file, and messages to receivers.

    An event is committed when its line is in the file, some milliseconds after `write`. What is committed reaches every
    receiver, also after a kill at any moment: at the next start its outbox takes what it misses from the file.
    """

    def __init__(
        self,
        path: Path | None,
        receivers: Sequence[Receiver] = (),
        *,
        rotation: Rotation | None = None,
        names: bool = False,
    ) -> None:
        """Go on with the file of events; without one, tell nobody.

        Args:
            path: the file; what waits for the receivers lies in the folder `PATH.outbox` beside it.
            receivers: who else is told, one of each kind; closed with this.
            rotation: when a file is full and how long it is kept.
            names: whether an event may hold the name of a person.

        Raises:
            UserError: there are receivers but no file, or a file cannot be used.
        """
        if path is None and receivers:
            raise UserError("--webhook and --mqtt send what is in the file of events; give --events FILE, too")
        now = datetime.now(timezone.utc)
        self.run = f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        self._names = names
        self._lock = threading.Lock()
        self._sequence = 0
        self._lost = 0
        self._unsaid = 0
        self._time = 0.0
        self._deliverers: list[Deliverer] = []
        self._log: EventLog | None = None
        self._feeder: Feeder | None = None
        self._writer: Writer | None = None
        if path is not None:
            self._open(path, receivers, rotation)

    def write(self, name: str, stream_time: float, details: Mapping[str, Json]) -> None:
        """Tell an event.

        Args:
            name: one of `schema.KINDS`.
            stream_time: seconds since the run began.
            details: the event's own fields.
        """
        with self._lock:
            self._time = stream_time
            if self._writer is not None and not self._writer.is_behind:
                self._say_lost()
            self._enter(name, stream_time, details)

    def counts(self) -> dict[str, int]:
        """Events written, lost and in memory; of each kind of receiver: waiting, delivered, refused and dropped."""
        if self._writer is None:
            return {}
        counts = {
            "written": self._writer.written,
            "lost": self._lost + self._writer.lost,
            "in_memory": self._writer.waiting,
        }
        for deliverer in self._deliverers:
            for what in ("waiting", "delivered", "refused", "dropped"):
                counts[f"{deliverer.kind}_{what}"] = getattr(deliverer.outbox, what)
        return counts

    def close(self, seconds: float = 5.0) -> None:
        """Write and hand over what there is, for so many seconds at most. What the receivers miss waits on disk."""
        if self._writer is None or self._log is None:
            return
        latest = time.monotonic() + seconds
        with self._lock:
            self._say_lost()
        is_done = self._writer.close(seconds / 2)
        if self._writer.lost:
            logger.warning("events: the last %d were not written, for the disk took none", self._writer.lost)
        if self._feeder is not None:
            self._feeder.close(max(0.0, latest - time.monotonic()))
        for deliverer in self._deliverers:
            deliverer.close(max(0.0, latest - time.monotonic()))
        if is_done:
            try:
                self._log.close()
            except OSError as error:
                logger.warning("events: %s", one_line(error))

    def _open(self, path: Path, receivers: Sequence[Receiver], rotation: Rotation | None) -> None:
        with contextlib.ExitStack() as stack:
            log = EventLog(path, rotation)
            stack.callback(log.close)
            outboxes = []
            for receiver in receivers:
                stack.callback(receiver.close)
                outboxes.append(Outbox(path.with_name(f"{path.name}.outbox") / f"{receiver.kind}.sqlite"))
                stack.callback(outboxes[-1].close)
            stack.pop_all()
        self._deliverers = [Deliverer(*pair) for pair in zip(outboxes, receivers, strict=True)]
        self._log = log
        if receivers:
            self._feeder = Feeder(log, self._deliverers, self.run)
        self._writer = Writer(log, self._feeder.take if self._feeder else _nowhere)
        if log.torn:
            logger.warning("%s: the last line was cut short, as by a power cut, and was removed", path)
            self._enter("lost", 0.0, {"count": log.torn, "reason": "torn"})

    def _say_lost(self) -> None:
        if self._unsaid:
            count, self._unsaid = self._unsaid, 0
            self._enter("lost", self._time, {"count": count, "reason": "behind"})

    def _enter(self, name: str, stream_time: float, details: Mapping[str, Json]) -> None:
        if self._writer is None:
            return
        number = self._sequence + 1
        head: dict[str, Json] = {
            "schema": VERSION,
            "id": f"{self.run}-{number:09d}",
            "run": self.run,
            "event": name,
            "stream_time": round(stream_time, 3),
            "wall_time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        }
        own = {key: value for key, value in details.items() if key != "name" or self._names}
        line = json.dumps(head | own, allow_nan=False) + "\n"
        self._sequence = number
        if not self._writer.offer(line.encode()):
            self._lost += 1
            self._unsaid += 1


def _nowhere(_: list[bytes]) -> None:
    """Nobody else is told."""
