"""The benchmark: open everything, measure it, and judge."""

from __future__ import annotations

import contextlib
import importlib.util
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple, get_args

from edge_reid import __version__
from edge_reid.benchmark.accuracy import Key, embed_all, with_cosines, with_ranks
from edge_reid.benchmark.conditions import warnings
from edge_reid.benchmark.isolated import Cost, isolated
from edge_reid.benchmark.profile import profile
from edge_reid.benchmark.rivals import RIVALS, Rival
from edge_reid.benchmark.rows import BundleFacts, Kind, Profile, Record, Row
from edge_reid.benchmark.timing import Stopwatch, time_together
from edge_reid.benchmark.verdict import Times, advice, losses, pick
from edge_reid.bundle import MANIFEST, Bundle, BundleFile, Precision
from edge_reid.data.folder import FolderDataset
from edge_reid.engines import BACKENDS, Engine, load_engine
from edge_reid.engines.agreement import made_up_crops
from edge_reid.engines.choice import Choice, Chosen, here
from edge_reid.engines.compiled import RECORD, Compiled
from edge_reid.errors import UserError, one_line
from edge_reid.files import sha256
from edge_reid.machine_state import machine_state
from edge_reid.progress import Update
from edge_reid.types import MODALITIES, Json, Modality


def benchmark(
    bundle: Bundle | Path,
    *,
    data: Path | None = None,
    batches: Sequence[int] = (1, 4, 8, 16),
    seconds: float = 1.0,
    rivals: Sequence[Rival] = (),
    cold: bool = True,
    profiled: bool = False,
    progress: Update | None = None,
) -> Record:
    """Time every file of a bundle at every batch size, measure its accuracy, and say what to use.

    Args:
        bundle: an opened bundle or its folder; nothing is written to it.
        data: data folder whose test people give rank-1 and mAP; without it those columns stay empty.
        batches: crops per call.
        seconds: of timing per row.
        rivals: also time torch.compile, which compiles for minutes, or the plain ONNX export.
        cold: also start a process of its own per file, for its cold start and its memory.
        profiled: also ask ONNX Runtime and OpenVINO which layers take the time.
        progress: called with the numbers of steps done and in all.

    Returns:
        One row per file, modality and batch size; a row whose engine is not installed says so.

    Raises:
        UserError: the bundle is damaged, the data folder cannot be read, or a batch size is not positive.
    """
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    if not batches or min(batches) < 1:
        raise UserError(f"--batches {' '.join(map(str, batches))}: give one or more numbers, each 1 or more")
    if not seconds > 0:
        raise UserError(f"--seconds {seconds:g}: needs more than 0")
    dataset = FolderDataset(data) if data else None
    asked = _Asked(list(dict.fromkeys(batches)), seconds, rivals, cold, profiled)
    before = machine_state()
    rows, profiles, failed = _measured(opened, dataset, asked, progress or (lambda done, total: None))
    after = machine_state()
    lost = losses(rows, opened.manifest)
    best, verdict = pick(rows, lost)
    return Record(
        date=_now(),
        command=_command(),
        edge_reid=__version__,
        bundle=_facts(opened),
        data=dataset.label if dataset else None,
        seconds=seconds,
        batches=asked.batches,
        machine=_machine(),
        before=before,
        after=after,
        warnings=[*warnings(before, after, rows), *failed],
        rows=rows,
        advice=advice(rows, lost),
        choice=_choice(opened, best, rows) if best else None,
        verdict=verdict,
        profiles=profiles,
    )


class _Asked(NamedTuple):
    batches: list[int]
    seconds: float
    rivals: Sequence[Rival]
    cold: bool
    profiled: bool


class _Served(NamedTuple):
    """A file of the bundle, an engine that opens it and a modality that it computes."""

    kind: Kind
    modality: Modality
    file: BundleFile


def _measured(
    bundle: Bundle, dataset: FolderDataset | None, asked: _Asked, progress: Update
) -> tuple[list[Row], list[Profile], list[str]]:
    """Rows, profiles, and what failed besides."""
    served = _served(bundle)
    for one in served:
        bundle.file(one.modality, one.file.backend, one.file.precision)  # a damaged bundle is no row but an error
    size, rows, steps = bundle.manifest.input_size, list[Row](), 2 + len(asked.batches) + asked.cold
    with contextlib.ExitStack() as stack:
        engines, bases = _open_all(bundle, served, asked.rivals, stack)
        progress(1, steps)
        embedded = embed_all(engines, size, dataset)
        bases = with_cosines(bases, embedded)
        bases = with_ranks(bases, embedded, dataset.label) if dataset else bases
        progress(2, steps)
        for done, batch in enumerate(asked.batches, start=3):
            watches = {key: Stopwatch(engine, made_up_crops(key[1], size, batch)) for key, engine in engines.items()}
            time_together(list(watches.values()), asked.seconds)
            for key, base in bases.items():
                row = base.model_copy(update={"batch": batch})
                rows.append(watches[key].row(row) if key in watches else row)
            progress(done, steps)
        keys = list(engines)
    failed: list[str] = []
    if asked.cold:  # last, when this process holds no engine that could be in the way
        rows, failed = _with_costs(bundle, rows, [key for key in keys if not bases[key].rival], max(asked.batches))
        progress(steps, steps)
    profiles = [made for kind, modality in keys if (made := profile(bundle, kind, modality))] if asked.profiled else []
    return rows, profiles, failed


def _open_all(
    bundle: Bundle, served: Sequence[_Served], rivals: Sequence[Rival], stack: contextlib.ExitStack
) -> tuple[dict[Key, Engine], dict[Key, Row]]:
    """The engines that open, and a row for each; what does not open has its reason there. `stack` closes them."""
    engines: dict[Key, Engine] = {}
    rows: dict[Key, Row] = {}

    def add(row: Row, opener: Callable[[], Engine]) -> None:
        key = (row.kind, row.modality)
        try:
            engine = opener()
            stack.callback(engine.close)
            engine.embed(made_up_crops(row.modality, bundle.manifest.input_size, 1))
            engines[key] = engine
        except Exception as error:  # whatever a runtime raises, the other rows are still to be measured
            row = row.model_copy(update={"error": one_line(error)})
        rows[key] = row

    for kind, modality, file in served:
        row = Row(engine=kind.engine, precision=kind.precision, modality=modality, batch=0, file_bytes=file.bytes)
        add(row, partial(load_engine, bundle, modality, kind.engine, kind.precision))
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    for name, opener in (RIVALS[rival] for rival in dict.fromkeys(rivals)):
        for modality in MODALITIES:
            row = Row(engine=name, precision="fp32", modality=modality, batch=0, rival=True)
            add(row, partial(opener, bundle, modality, folder))
    for key, engine in engines.items():
        facts = engine.facts
        opened = {"threads": facts.threads, "load_seconds": facts.load_seconds, "file_bytes": facts.file_bytes}
        rows[key] = rows[key].model_copy(update=opened)
    return engines, rows


def _served(bundle: Bundle) -> list[_Served]:
    """The bundle's own files, eager PyTorch's first, each with all backends that open it; then what was compiled."""
    files = sorted(bundle.manifest.files, key=lambda file: (file.backend != "torch", file.precision))
    precisions: tuple[Precision, ...] = get_args(Precision)
    served = []
    for modality in MODALITIES:
        own = [file for file in files if file.serves(modality)]
        for file in own:
            backends = (file.backend, *_others(file.backend))
            served += [_Served(Kind(backend, file.precision), modality, file) for backend in backends]
        for source in (file for file in own if (file.backend, file.precision) == ("onnxruntime", "fp32")):
            for name, precision in product(_others(None), precisions):
                if Compiled(bundle.path / source.name, name, modality, precision).path(RECORD).exists():
                    served.append(_Served(Kind(name, precision), modality, source))
    return served


def _others(backend: str | None) -> list[str]:
    """The installed backends that open another one's files; None: those whose engines are compiled from FP32."""
    others = [name for name, other in BACKENDS.items() if other.reads == backend and name != backend]
    return [name for name in others if importlib.util.find_spec(name) is not None]


def _with_costs(bundle: Bundle, rows: Sequence[Row], keys: Sequence[Key], batch: int) -> tuple[list[Row], list[str]]:
    """The rows with cold start and memory of their engine in a process of its own, once per file; and what failed."""
    costs: dict[Key, Cost] = {}
    failed: list[str] = []
    for kind, modality in keys:
        try:
            costs[kind, modality] = isolated(bundle.path, kind, modality, batch)
        except UserError as error:
            failed.append(str(error))
    known = [(row, costs.get((row.kind, row.modality))) for row in rows]
    return [row.model_copy(update=cost._asdict()) if cost else row for row, cost in known], failed


def _choice(bundle: Bundle, best: Times, rows: Sequence[Row]) -> Choice:
    """What `load_engine` should open; it holds for the libraries that were compared."""
    measured = {row.engine for row in rows if row.p50_ms is not None and not row.rival}
    return Choice(
        here=here(bundle, sorted(measured - {"torch"})),
        engines={
            modality: Chosen(backend=best.kind.engine, precision=best.kind.precision, p50_ms=round(ms, 3))
            for modality, ms in best.ms.items()
        },
        date=_now(),
        command=_command(),
    )


def _facts(bundle: Bundle) -> BundleFacts:
    return BundleFacts(
        path=str(bundle.path),
        manifest_sha256=sha256(bundle.path / MANIFEST),
        recipe=bundle.manifest.recipe,
        input_size=bundle.manifest.input_size,
        embedding_dim=bundle.manifest.embedding_dim,
    )


def _machine() -> dict[str, Json]:
    from edge_reid.machine import board, machine

    return machine() | {"board": board()}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
