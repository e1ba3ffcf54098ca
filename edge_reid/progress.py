"""What a command shows on a terminal: one kind of progress bar, one kind of table."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

Update = Callable[[int, int], None]

PAGE = 120
"""Columns of a table that goes into a file or to another program."""


def progress_bar(*more: ProgressColumn) -> Progress:
    """A bar with the time that remains, and `more` before that; seen also where standard output is captured."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn())
    return Progress(
        *columns, *more, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal,
        speed_estimate_period=120,
    )  # fmt: skip


@contextlib.contextmanager
def progress(label: str) -> Iterator[Update]:
    """Yield `update(done, total)`; the bar is on stderr and disappears when the work is done."""
    with progress_bar() as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None) -> None:
    """Print a table on standard output, as wide as the terminal or, where that is none, as a page: nothing is cut."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for name in head:
        table.add_column(escape(name), overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=PAGE)
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))
