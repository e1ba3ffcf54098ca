"""From an archive to its vectors: pictures are read and people found while the network embeds those before.

A part is computed the same way whichever shard it falls to, batch by batch from its own start, so that its bits do not
depend on how the work is shared.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from edge_reid import __version__
from edge_reid.archive.contents import Archive, Item, Unreadable, open_archive
from edge_reid.archive.finder import Finder, Found
from edge_reid.archive.parts import Parts, Rows
from edge_reid.archive.shards import Shard
from edge_reid.bundle import MANIFEST, Bundle
from edge_reid.engines import load_engine
from edge_reid.errors import UserError
from edge_reid.files import sha256
from edge_reid.gallery.enrolment import comparable
from edge_reid.progress import Update
from edge_reid.types import Embed, Json, Modality

MOST_MISSING = 100
"""Pictures in a row that cannot be opened before it is the disk that is gone, and the rest must not be given up."""

Work = TypeVar("Work")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What every vector of a folder is asked for."""

    bundle: Path
    modality: Modality
    detector: str | None = None
    """None where each picture shows one person; a video needs one."""
    least_score: float = 0.3
    """Of a person found."""
    engine: str | None = None
    """A backend; the bundle's choice where None."""
    batch: int = 32
    """Crops that are embedded together."""
    block: int = 1024
    """Items of a part."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        for option in ("batch", "block"):
            if getattr(self, option) < 1:
                raise UserError(f"--{option} {getattr(self, option)}: needs at least 1")
        if not 0 <= self.least_score <= 1:
            raise UserError(f"--least-score {self.least_score}: needs a number from 0 to 1")

    def items(self, part: int) -> slice:
        """The items of a part, of which the last may lack some."""
        return slice(part * self.block, (part + 1) * self.block)


@dataclass(frozen=True)
class Outcome:
    """What a shard did."""

    shard: str
    """"K/N"."""
    parts: int
    """Written now."""
    kept: int
    """Parts that were there."""
    items: int
    """Pictures or frames looked at now."""
    vectors: int
    """Written now."""
    seconds: float
    """From the first picture to the last part; loading is not in it."""
    engine: str
    warning: str | None
    """What is odd about the archive, in one line."""
    skipped: list[dict[str, str]]
    """Path and reason of what could not be read, in any of the shard's parts."""


def embed_archive(path: Path, out: Path, request: Request, shard: Shard, progress: Update | None = None) -> Outcome:
    """Write the parts of a shard that are not there yet.

    Args:
        path: a folder of pictures, a list of them, or a video.
        out: folder of the parts, which all shards share.
        request: what to do.
        shard: this program's share: every `shard.count`-th part.
        progress: called after each item with how many are done and to do.

    Raises:
        UserError: one of these is wrong, the engine cannot be had, the disk is full, or the archive goes away.
    """
    bundle = Bundle.open(request.bundle)
    finder = Finder(bundle.manifest.input_size, request.modality, request.detector, request.least_score)
    with contextlib.ExitStack() as stack:
        archive = stack.enter_context(contextlib.closing(open_archive(path, finder)))
        parts = Parts(out, _described(archive, bundle, request), shard)
        numbers = range(shard.index, -(-archive.items // request.block), shard.count)
        todo = [range(archive.items)[request.items(number)] for number in numbers if not parts.has(number)]
        archive.check(itertools.chain.from_iterable(todo))
        engine = stack.enter_context(contextlib.closing(load_engine(bundle, request.modality, request.engine)))
        parts.begin()
        pool = ThreadPoolExecutor(archive.readers)
        stack.callback(pool.shutdown, cancel_futures=True)
        work = _Extraction(archive, comparable(bundle, engine), request, bundle.manifest.embedding_dim, pool)
        if progress is not None:
            total = sum(map(len, todo))
            work.progress = lambda done: progress(done, total)
        return _run(work, parts, shard, engine.name)


def _described(archive: Archive, bundle: Bundle, request: Request) -> dict[str, Json]:
    """What two runs must have in common to write into one folder."""
    return {
        **archive.identity(),
        "space": bundle.space,
        "manifest_sha256": sha256(bundle.path / MANIFEST),
        "modality": request.modality,
        "detector": request.detector,
        "least_score": request.least_score,
        "engine": request.engine,
        "batch": request.batch,
        "block": request.block,
    }


def _run(work: _Extraction, parts: Parts, shard: Shard, engine: str) -> Outcome:
    began = time.perf_counter()
    written, kept, vectors = 0, 0, 0
    skipped: list[dict[str, str]] = []
    # not up to the number of items, for that of a video may be wrong
    for number in itertools.count(shard.index, shard.count):
        if parts.has(number):
            kept += 1
        else:
            before = work.looked
            rows, unreadable = work.part(number)
            if work.looked == before:
                break
            parts.write(number, rows, unreadable, {"computed_by": engine, "edge_reid": __version__})
            written, vectors = written + 1, vectors + len(rows)
        skipped += parts.skipped(number)
    seconds = time.perf_counter() - began
    return Outcome(str(shard), written, kept, work.looked, vectors, seconds, engine, work.archive.warning, skipped)


@dataclass
class _Extraction:
    """Makes parts of an archive."""

    archive: Archive
    embed: Embed
    request: Request
    dimension: int
    pool: ThreadPoolExecutor
    progress: Callable[[int], object] = lambda done: None
    """Called with the items looked at."""
    looked: int = 0
    """Items of all parts so far."""
    missing: int = 0
    """Of the last items, how many could not be opened."""

    def part(self, number: int) -> tuple[Rows, list[Unreadable]]:
        """The people of a part's items, and the items that cannot be read."""
        rows, unreadable = Rows(self.request.modality, self.dimension), list[Unreadable]()
        waiting: list[tuple[Item, Found]] = []
        size = self.request.batch
        for item in self._items(number):
            if isinstance(item, Unreadable):
                unreadable.append(item)
                continue
            waiting += [(item, found) for found in item.people]
            while len(waiting) >= size:
                self._embed(rows, waiting[:size])
                waiting = waiting[size:]
        if waiting:
            self._embed(rows, waiting)
        return rows, unreadable

    def _embed(self, rows: Rows, people: list[tuple[Item, Found]]) -> None:
        rows.add(people, self.embed(np.stack([found.shot.crop for _, found in people])))

    def _items(self, number: int) -> Iterator[Item | Unreadable]:
        items = self.request.items(number)
        for item in ahead(self.pool, self.archive.look, range(items.start, items.stop), self.request.batch):
            if item is None:
                return
            self.looked += 1
            self.missing = self.missing + 1 if isinstance(item, Unreadable) and item.missing else 0
            if isinstance(item, Unreadable) and self.missing == MOST_MISSING:
                raise UserError(
                    f"{item.reason}; nor can the {MOST_MISSING - 1} before it: see whether the disk is there, then run "
                    "the same command again"
                )
            yield item
            self.progress(self.looked)


def ahead(
    pool: ThreadPoolExecutor, work: Callable[[Work], Result], items: Iterable[Work], most: int
) -> Iterator[Result]:
    """The results of `work` in the order of the items, of which `most` are begun before their turn."""
    coming: deque[Future[Result]] = deque()
    for item in items:
        coming.append(pool.submit(work, item))
        if len(coming) > most:
            yield coming.popleft().result()
    while coming:
        yield coming.popleft().result()
