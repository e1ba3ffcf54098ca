"""What became slower or worse since an older record, beyond what both runs' noise explains."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import ValidationError

from edge_reid.benchmark.rows import Record, Row
from edge_reid.benchmark.tables import Table, number
from edge_reid.errors import UserError

SLOWER, NOISES = 0.05, 3.0
"""A median is slower when it grew by more than this share and by more than so many times both runs' spread."""

WORSE_POINTS = 0.5
"""Of rank-1 or mAP."""

WORSE_COSINE = 0.002
"""Of the first percentile."""

MORE_BYTES = 0.1
"""Share by which a file or the peak memory may grow."""

_MACHINE = ("processor", "board", "gpu", "threads", "system")
"""What must be the same for times to be compared."""

State = Literal["same", "better", "worse"]


class Difference(NamedTuple):
    """One number of one row, then and now."""

    row: Row
    what: str
    before: float
    after: float
    allowed: float
    """How much it may change before it counts, in its own unit."""
    state: State


class Comparison(NamedTuple):
    """All that could be compared, and what could not."""

    differences: list[Difference]
    notes: list[str]
    """What was not compared, and what else differs."""

    @property
    def worse(self) -> list[Difference]:
        """What became slower or worse."""
        return [one for one in self.differences if one.state == "worse"]


class _Measure(NamedTuple):
    what: str
    value: Callable[[Row], float | None]
    allowed: Callable[[Row, Row], float]
    larger_is_better: bool


def read_record(path: Path) -> Record:
    """An older benchmark.json.

    Raises:
        UserError: it is none, or of another version.
    """
    try:
        return Record.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"--compare {path}: {error.strerror}; give a benchmark.json of an earlier --out") from error
    except (UnicodeDecodeError, ValidationError) as error:
        raise UserError(f"--compare {path}: no record of this version; measure it again with --out") from error


def compare(old: Record, new: Record) -> Comparison:
    """Row by row, where both runs have one.

    Raises:
        UserError: neither times nor accuracies can be compared: another machine, and another protocol or bundle.
    """
    notes: list[str] = []
    other = [f"{name} {old.machine.get(name)}" for name in _MACHINE if old.machine.get(name) != new.machine.get(name)]
    measures = [] if other else [_TIME, _MEMORY]
    if other:
        notes.append(f"times and memory are not compared: the older run was on another machine ({', '.join(other)})")
    if _protocols(old) == _protocols(new):
        measures += [_FILE, *_ACCURACY]
    else:
        notes.append("accuracies are not compared: the older run had other test pictures or another protocol")
    if not measures:
        raise UserError("--compare: another machine and another protocol; nothing in the older record can be compared")
    notes += _also_different(old, new)
    before = {(row.kind, row.modality, row.batch): row for row in old.rows}
    differences: list[Difference] = []
    for row in new.rows:
        then = before.pop((row.kind, row.modality, row.batch), None)
        if then is None:
            continue
        if row.error and not then.error:
            differences.append(Difference(row, "runs", 1, 0, 0, "worse"))
        first = row.batch == new.batches[0]  # the rest is the same at every batch
        those = [measure for measure in measures if first or measure is _TIME]
        differences += [one for measure in those if (one := _difference(measure, then, row))]
    gone = [row for row in before.values() if row.batch in new.batches and not row.error and not row.rival]
    notes += [f"{row.label}: not measured any more" for row in gone]
    return Comparison(differences, notes)


def difference_table(comparison: Comparison) -> Table:
    """What changed; what stayed within the noise is only counted."""
    rows = [
        [
            one.row.label, one.what, number(one.before, 4 if one.what.startswith("cosine") else None),
            number(one.after, 4 if one.what.startswith("cosine") else None), _change(one), one.state,
        ]
        for one in comparison.differences
        if one.state != "same"
    ]  # fmt: skip
    same = sum(one.state == "same" for one in comparison.differences)
    return Table(
        f"Against the older run ({same} numbers stayed the same within the noise)",
        ("row", "what", "before", "now", "change (allowed)", "state"),
        rows,
    )


def _difference(measure: _Measure, old: Row, new: Row) -> Difference | None:
    before, after = measure.value(old), measure.value(new)
    if before is None or after is None:
        return None
    allowed = measure.allowed(old, new)
    gain = after - before if measure.larger_is_better else before - after
    state: State = "worse" if gain < -allowed else "better" if gain > allowed else "same"
    return Difference(new, measure.what, before, after, allowed, state)


def _allowed_time(old: Row, new: Row) -> float:
    noise = math.hypot((old.spread or 0) * (old.p50_ms or 0), (new.spread or 0) * (new.p50_ms or 0))
    return max(SLOWER * (old.p50_ms or 0), NOISES * noise)


def _points(share: float | None) -> float | None:
    return None if share is None else 100 * share


_TIME = _Measure("p50 ms", lambda row: row.p50_ms, _allowed_time, False)
_MEMORY = _Measure(
    "RAM MB",
    lambda row: None if row.peak_bytes is None else row.peak_bytes / 1e6,
    lambda old, new: MORE_BYTES * (old.peak_bytes or 0) / 1e6,
    False,
)
_FILE = _Measure(
    "MB",
    lambda row: None if row.file_bytes is None else row.file_bytes / 1e6,
    lambda old, new: MORE_BYTES * (old.file_bytes or 0) / 1e6,
    False,
)
_ACCURACY = [
    _Measure("rank-1 %", lambda row: _points(row.rank1), lambda old, new: WORSE_POINTS, True),
    _Measure("mAP %", lambda row: _points(row.mean_ap), lambda old, new: WORSE_POINTS, True),
    _Measure("cosine 1 %", lambda row: row.cosine_p01, lambda old, new: WORSE_COSINE, True),
]


def _protocols(record: Record) -> set[str | None]:
    return {row.protocol for row in record.rows if not row.error} | {record.data}


def _also_different(old: Record, new: Record) -> list[str]:
    """What explains a change: it is told, and compared all the same."""
    names = [name for name in new.machine.keys() | old.machine.keys() if name not in (*_MACHINE, "load_average")]
    changed = [
        f"{name} {old.machine.get(name)} -> {new.machine.get(name)}"
        for name in sorted(names)
        if old.machine.get(name) != new.machine.get(name)
    ]
    if old.bundle.manifest_sha256 != new.bundle.manifest_sha256:
        changed.append("the bundle")
    if old.seconds != new.seconds:
        changed.append(f"seconds a row {old.seconds:g} -> {new.seconds:g}")
    return [f"also different: {', '.join(changed)}"] if changed else []


def _change(one: Difference) -> str:
    change = one.after - one.before
    if one.what.endswith("ms") or one.what.endswith("MB"):
        return f"{change / one.before:+.0%} ({one.allowed / one.before:.0%})"
    digits = 4 if one.what.startswith("cosine") else 1
    return f"{change:+.{digits}f} ({one.allowed:g})"
