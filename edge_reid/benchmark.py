"""How fast and how good every engine of a bundle is on this machine.

All rows share one clock and one procedure: `embed` is timed from numpy array to numpy array, so colour order,
normalisation and unit norm are inside. Rows of one batch size take turns in short rounds, so that whatever else the
machine does meets all of them alike. Shapes: N crops, H x W the bundle's input size.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_reid.bundle import Bundle, BundleFile, Precision
from edge_reid.data.folder import FolderDataset
from edge_reid.engines import BACKENDS, Engine, load_engine
from edge_reid.errors import UserError
from edge_reid.evaluation import Embedded, both_directions, extract
from edge_reid.progress import Update
from edge_reid.types import MODALITIES, Json, Modality, Sample

ROUNDS = 10

WARM_UP_CALLS, WARM_UP_SECONDS = 5, 0.3

LEAST_SAMPLES = 100
"""Per row, unless they take longer than `LONGEST` times the time given."""

LONGEST = 3

COMPARED = 32
"""Made-up crops whose embeddings are compared with PyTorch's where there is no data folder."""


@dataclass(frozen=True)
class Row:
    """One engine at one batch size."""

    engine: str
    precision: Precision
    modality: Modality
    batch: int
    threads: int | None = None
    samples: int = 0
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    images_per_second: float | None = None
    """At the median."""
    file_bytes: int | None = None
    load_seconds: float | None = None
    rank1: float | None = None
    """With queries of this modality and a gallery of the other, both through the same engine and precision."""
    mean_ap: float | None = None
    protocol: str | None = None
    """How rank-1 and mAP were measured."""
    cosine_mean: float | None = None
    """Of embeddings with those of eager PyTorch, on the test pictures, or on made-up crops without a data folder."""
    cosine_minimum: float | None = None
    error: str | None = None
    """Why the row has no numbers."""

    def as_json(self) -> dict[str, Json]:
        """The fields by name."""
        return asdict(self)


class Stopwatch:
    """Latencies of one engine on one batch, collected over several rounds."""

    def __init__(self, engine: Engine, crops: NDArray[np.uint8]) -> None:
        self.engine = engine
        self.crops = crops
        self.seconds: list[float] = []

    def warm_up(self) -> None:
        """Run until caches and thread pools are settled; nothing is recorded."""
        began, elapsed, calls = time.perf_counter(), 0.0, 0
        while elapsed < WARM_UP_SECONDS or (calls < WARM_UP_CALLS and elapsed < LONGEST * WARM_UP_SECONDS):
            self.engine.embed(self.crops)
            elapsed, calls = time.perf_counter() - began, calls + 1

    def run(self, seconds: float, samples: int) -> None:
        """Go on until `samples` calls and `seconds` are recorded in all, or `LONGEST` times the seconds."""
        if self._is_done(seconds, samples):
            return
        self.engine.embed(self.crops)  # another engine has just had the caches
        while not self._is_done(seconds, samples):
            start = time.perf_counter()
            self.engine.embed(self.crops)
            self.seconds.append(time.perf_counter() - start)

    def _is_done(self, seconds: float, samples: int) -> bool:
        spent = sum(self.seconds)
        return spent >= LONGEST * seconds or (spent >= seconds and len(self.seconds) >= samples)

    def row(self, row: Row) -> Row:
        """`row` with the latencies."""
        p50, p90, p99 = (1e3 * float(value) for value in np.percentile(self.seconds, (50, 90, 99)))
        return replace(
            row,
            samples=len(self.seconds),
            p50_ms=p50,
            p90_ms=p90,
            p99_ms=p99,
            images_per_second=1e3 * len(self.crops) / p50,
        )


def benchmark(
    bundle: Bundle | Path,
    *,
    data: Path | None = None,
    batches: Sequence[int] = (1, 4, 8),
    seconds: float = 1.0,
    progress: Update | None = None,
) -> list[Row]:
    """Time every file of a bundle at every batch size, and measure its accuracy.

    Args:
        bundle: an opened bundle or its folder.
        data: data folder whose test people give rank-1 and mAP; without it those columns stay empty.
        batches: crops per call.
        seconds: of timing per row.
        progress: called with the numbers of batch sizes done and in all.

    Returns:
        One row per file, modality and batch size; a row whose engine is not installed says so.

    Raises:
        UserError: the bundle is damaged, the data folder cannot be read, or a batch size is not positive.
    """
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    if not batches or min(batches) < 1:
        raise UserError(f"--batches {' '.join(map(str, batches))}: give one or more numbers, each 1 or more")
    dataset = FolderDataset(data) if data else None
    for _, file, modality in _served(opened):
        opened.file(modality, file.backend, file.precision)  # a damaged bundle is no row but an error
    engines, bases = _open_all(opened)
    embedded = _embeddings(engines, opened, dataset)
    bases = _with_cosines(bases, embedded)
    bases = _with_accuracy(bases, embedded, dataset.label) if dataset else bases
    rows: list[Row] = []
    for number, batch in enumerate(batches):
        timed = _timed(engines, opened.manifest.input_size, batch, seconds)
        for key, base in bases.items():
            row = replace(base, batch=batch)
            rows.append(timed[key].row(row) if key in timed else row)
        if progress:
            progress(number + 1, len(batches))
    for engine in engines.values():
        engine.close()
    return rows


_Key = tuple[str, Precision, Modality]


def _open_all(bundle: Bundle) -> tuple[dict[_Key, Engine], dict[_Key, Row]]:
    """The engines that open, and a row for each file and modality; what does not open has its reason there."""
    engines: dict[_Key, Engine] = {}
    rows: dict[_Key, Row] = {}
    for backend, file, modality in _served(bundle):
        key = (backend, file.precision, modality)
        row = Row(engine=backend, precision=file.precision, modality=modality, batch=0, file_bytes=file.bytes)
        try:
            engine = load_engine(bundle, modality, backend, file.precision)
        except UserError as error:
            rows[key] = replace(row, error=str(error))
            continue
        engines[key] = engine
        rows[key] = replace(row, threads=engine.facts.threads, load_seconds=engine.facts.load_seconds)
    return engines, rows


def _served(bundle: Bundle) -> list[tuple[str, BundleFile, Modality]]:
    """Backends, the files that they open and the modalities that these compute, eager PyTorch first."""
    files = sorted(bundle.manifest.files, key=lambda file: (file.backend != "torch", file.precision))
    return [
        (backend, file, modality)
        for modality in MODALITIES
        for file in files
        if file.serves(modality)
        for backend in (file.backend, *_others(file.backend))
    ]


def _others(backend: str) -> list[str]:
    """The installed backends that open another one's files."""
    others = [name for name, other in BACKENDS.items() if other.reads == backend and name != backend]
    return [name for name in others if importlib.util.find_spec(name) is not None]


def _timed(engines: dict[_Key, Engine], size: tuple[int, int], batch: int, seconds: float) -> dict[_Key, Stopwatch]:
    watches = {key: Stopwatch(engine, _crops(key[2], size, batch)) for key, engine in engines.items()}
    for watch in watches.values():
        watch.warm_up()
    for number in range(1, ROUNDS + 1):
        for watch in watches.values():
            watch.run(seconds * number / ROUNDS, LEAST_SAMPLES * number // ROUNDS)
    return watches


def _crops(modality: Modality, size: tuple[int, int], count: int) -> NDArray[np.uint8]:
    """Blocks of random colours: no picture, but as smooth and as bright as one, so that INT8 is inside its ranges."""
    (height, width), block = size, 32
    shape = (count, -(-height // block), -(-width // block), *([3] if modality == "visible" else []))
    blocks = np.random.default_rng(0).integers(64, 192, shape, dtype=np.uint8)
    return np.ascontiguousarray(blocks.repeat(block, axis=1).repeat(block, axis=2)[:, :height, :width])


def _embeddings(engines: dict[_Key, Engine], bundle: Bundle, dataset: FolderDataset | None) -> dict[_Key, Embedded]:
    """What each engine makes of the test pictures; without a data folder, of made-up crops."""
    size = bundle.manifest.input_size
    embedded: dict[_Key, Embedded] = {}
    for key, engine in engines.items():
        if dataset:
            samples = dataset.query(key[2])
            embedded[key] = Embedded(samples, extract(samples, engine.embed, size))
        else:
            nobody = [Sample(Path(), identity, 0, key[2]) for identity in range(COMPARED)]
            embedded[key] = Embedded(nobody, engine.embed(_crops(key[2], size, COMPARED)))
    return embedded


def _with_cosines(rows: dict[_Key, Row], embedded: dict[_Key, Embedded]) -> dict[_Key, Row]:
    """Compare all engines with PyTorch where it is among them."""
    compared = dict(rows)
    for key, own in embedded.items():
        reference = embedded.get(("torch", "fp32", key[2]))
        if reference is not None:
            cosines = (own.embeddings * reference.embeddings).sum(axis=1)
            compared[key] = replace(rows[key], cosine_mean=float(cosines.mean()), cosine_minimum=float(cosines.min()))
    return compared


def _with_accuracy(rows: dict[_Key, Row], embedded: dict[_Key, Embedded], data: str) -> dict[_Key, Row]:
    """Rank with both modalities' engines of one backend and precision, where both opened."""
    measured = dict(rows)
    for backend, precision in {key[:2] for key in embedded}:
        keys: dict[Modality, _Key] = {modality: (backend, precision, modality) for modality in MODALITIES}
        if all(key in embedded for key in keys.values()):
            for result in both_directions(embedded[keys["visible"]], embedded[keys["thermal"]], data=data):
                key = keys[result.query_modality]
                measured[key] = replace(
                    measured[key], rank1=result.rank1, mean_ap=result.mean_ap, protocol=result.protocol
                )
    return measured


HEAD = (
    "engine", "queries", "batch", "p50 ms", "p90 ms", "p99 ms", "pictures/s", "MB", "load s", "rank-1", "mAP",
    "cosine mean", "minimum",
)  # fmt: skip


def cells(row: Row) -> list[str]:
    """A row for a terminal, under `HEAD`; a failed one gives its reason."""
    name = [f"{row.engine} {row.precision}", row.modality, str(row.batch)]
    if row.error:
        return [*name, row.error]
    megabytes = None if row.file_bytes is None else row.file_bytes / 1e6
    return [
        *name,
        *(_number(value, 2) for value in (row.p50_ms, row.p90_ms, row.p99_ms)),
        _number(row.images_per_second, 0),
        _number(megabytes, 2),
        _number(row.load_seconds, 2),
        _percent(row.rank1),
        _percent(row.mean_ap),
        _number(row.cosine_mean, 4),
        _number(row.cosine_minimum, 4),
    ]


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
