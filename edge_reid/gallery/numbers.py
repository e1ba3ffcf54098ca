"""Person numbers: each given once, by any of the programs that have the file open, without asking it for each."""

from __future__ import annotations

import sqlite3
from collections import deque

from edge_reid.gallery.store import transaction

RESERVED = 64
"""So many people may come while the disk takes nothing, and so many numbers are left out after a power cut."""


class Numbers:
    """Numbers that nobody else gives."""

    def __init__(self) -> None:
        """Start with none."""
        self._free: deque[int] = deque()

    def take(self) -> int | None:
        """The next one, None when there is none left."""
        try:
            return self._free.popleft()
        except IndexError:
            return None

    def refill(self, connection: sqlite3.Connection) -> None:
        """Reserve more when half of them are given."""
        if len(self._free) >= RESERVED // 2:
            return
        reserve = f"UPDATE gallery SET next_person = next_person + {RESERVED} RETURNING next_person"
        ((following,),) = connection.execute(reserve).fetchall()
        self._free.extend(range(following - RESERVED, following))

    def give_back(self, connection: sqlite3.Connection) -> None:
        """Give the last ones back, unless another program has reserved its own behind them."""
        with transaction(connection):
            while self._free:
                last = self._free.pop()
                step = "UPDATE gallery SET next_person = ? WHERE next_person = ?"
                if connection.execute(step, (last, last + 1)).rowcount == 0:
                    break
        self._free.clear()
