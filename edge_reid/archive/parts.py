"""The folder that holds an archive's vectors: Parquet files, each of the same items however many shards share the work.

Part n holds the people of the items `n * block` to `(n + 1) * block - 1`. It is there whole or not at all, so what is
there need not be done again. Readers of Parquet pass over names that begin with an underscore or a dot.

    part-000007.parquet         vectors
    _skipped-000007.jsonl       what of these items could not be read; absent where all could
    _archive.json               what all parts were asked for
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from edge_reid.archive.contents import Item, Unreadable
from edge_reid.archive.finder import Found
from edge_reid.archive.shards import Shard
from edge_reid.errors import UserError
from edge_reid.files import atomic_file
from edge_reid.types import Json, Modality

REQUEST = "_archive.json"

METADATA = b"edge_reid"
"""Key of a part's metadata: a JSON object, the request and what computed this part."""

_LEFT_OVER = re.compile(r"\.(?:part|_skipped)-(\d+)\.")


class Rows:
    """A part's table as it grows. D is the embedding."""

    def __init__(self, modality: Modality, dimension: int) -> None:
        """Begin with no row."""
        vector = pa.list_(pa.float32(), dimension)
        types = {
            "path": pa.string(), "frame": pa.int64(), "time": pa.float64(), "box": pa.list_(pa.float32(), 4),
            "score": pa.float32(), "quality": pa.float32(), "modality": pa.string(), "vector": vector,
        }  # fmt: skip
        needed = ("path", "box", "quality", "modality", "vector")
        self._schema = pa.schema([pa.field(name, kind, name not in needed) for name, kind in types.items()])
        self._modality, self._dimension = modality, dimension
        self._values: dict[str, list[object]] = {name: [] for name in types if name not in ("box", "vector")}
        self._boxes: list[NDArray[np.float32]] = []
        self._vectors: list[NDArray[np.float32]] = []

    def __len__(self) -> int:
        """How many people."""
        return len(self._boxes)

    def add(self, people: Sequence[tuple[Item, Found]], vectors: NDArray[np.float32]) -> None:
        """People with their vectors `(N, D)`."""
        for item, found in people:
            row = (item.path, item.frame, item.time, found.score, found.shot.quality, self._modality)
            for values, value in zip(self._values.values(), row, strict=True):
                values.append(value)
            self._boxes.append(found.box)
        self._vectors.append(vectors)

    def parquet(self, metadata: dict[str, Json]) -> memoryview:
        """The content of a Parquet file."""
        schema = self._schema.with_metadata({METADATA: json.dumps(metadata)})
        arrays = []
        for field in schema:
            if field.name in self._values:
                arrays.append(pa.array(self._values[field.name], field.type))
                continue
            rows = self._boxes if field.name == "box" else self._vectors
            flat = np.concatenate([np.zeros(0, np.float32), *(row.ravel() for row in rows)])
            arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(flat), type=field.type))
        sink = pa.BufferOutputStream()
        table = pa.Table.from_arrays(arrays, schema=schema)
        pq.write_table(table, sink, compression="zstd", use_dictionary=["path", "modality"])
        return memoryview(sink.getvalue())


class Parts:
    """The folder, opened for one shard of one request."""

    def __init__(self, out: Path, request: dict[str, Json], shard: Shard) -> None:
        """Look at the folder, which need not be there; nothing is written yet.

        Raises:
            UserError: it holds something else, or what another request asked for.
        """
        self._out, self._request, self._shard = out, request, shard
        with self._refusals():
            self._names = {path.name for path in out.iterdir()} if out.exists() else set()
            if REQUEST in self._names:
                self._compare()
            elif any(not name.startswith(".") for name in self._names):
                raise UserError(f"--out {out}: holds other files and no {REQUEST}; choose an empty or a new folder")

    def begin(self) -> None:
        """Make the folder where it is not there, and remove what a program that was killed has left in it.

        Raises:
            UserError: it cannot be written to, or another request has begun there meanwhile.
        """
        with self._refusals():
            if not (self._out / REQUEST).exists():
                _write(self._out / REQUEST, json.dumps(self._request, indent=1).encode() + b"\n")
            self._compare()
            for name in self._names:
                if (found := _LEFT_OVER.match(name)) and int(found[1]) % self._shard.count == self._shard.index:
                    (self._out / name).unlink(missing_ok=True)

    def has(self, number: int) -> bool:
        """Whether a part is there."""
        return self._part(number).exists()

    def write(self, number: int, rows: Rows, unreadable: Sequence[Unreadable], made: dict[str, Json]) -> None:
        """Write a part, and before it what could not be read.

        Args:
            number: of the part.
            rows: the people of its items.
            unreadable: the other items.
            made: what computed it, for the metadata.

        Raises:
            UserError: the disk is full, or the folder cannot be written to any more.
        """
        told = self._skipped(number)
        part: dict[str, Json] = {"part": number, "shard": str(self._shard)}
        try:
            if unreadable:
                lines = [json.dumps({"path": one.path, "reason": one.reason}) + "\n" for one in unreadable]
                _write(told, "".join(lines).encode())
            else:
                told.unlink(missing_ok=True)  # an earlier run's, whose part was removed to be made again
            _write(self._part(number), rows.parquet({**self._request, **made, **part}))
        except OSError as error:
            raise UserError(
                f"{self._part(number)}: cannot be written ({error.strerror}); make room there and run the same command "
                "again: the parts before are kept"
            ) from error

    def skipped(self, number: int) -> list[dict[str, str]]:
        """Path and reason of the items that a part lacks."""
        told = self._skipped(number)
        lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
        return [json.loads(line) for line in lines]

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(f"--out {self._out}: cannot be used ({error.strerror}); choose another folder") from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{self._out / REQUEST}: not what `edge-reid embed` wrote; choose another --out") from error

    def _compare(self) -> None:
        held: dict[str, Json] = json.loads((self._out / REQUEST).read_bytes())
        for key in {**held, **self._request}:
            old, new = held.get(key), self._request.get(key)
            if old != new:
                raise UserError(
                    f"--out {self._out}: holds vectors of another request ({key.replace('_', ' ')} was {old}, now "
                    f"{new}); choose another folder"
                )

    def _part(self, number: int) -> Path:
        return self._out / f"part-{number:06d}.parquet"

    def _skipped(self, number: int) -> Path:
        return self._out / f"_skipped-{number:06d}.jsonl"


def _write(path: Path, content: bytes | memoryview) -> None:
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # else a power cut may leave a name with nothing behind it
