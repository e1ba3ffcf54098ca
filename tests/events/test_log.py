from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from edge_reid.errors import UserError
from edge_reid.events.log import DAY, EventLog, Rotation

RUN = "20261121T101500Z-00c0ffee"


def line(number: int, run: str = RUN, wall_time: str = "2026-11-21T10:15:00.000+00:00") -> bytes:
    event = {"schema": 2, "id": f"{run}-{number:09d}", "run": run, "wall_time": wall_time, "event": "x"}
    return json.dumps(event).encode() + b"\n"


def full_files(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.stem}.??????{path.suffix}"))


def everything(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in [*full_files(path), path])


def test_a_new_run_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    path = tmp_path / "new" / "events.jsonl"
    for number in (1, 2):
        log = EventLog(path)
        log.append(line(number))
        log.close()
    assert path.read_bytes() == line(1) + line(2)


def test_a_last_line_cut_at_any_byte_is_removed_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    whole = b'{"schema": 2, "a": 1}\n{"schema": 2, "b": 2}\n'
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        log = EventLog(path)
        log.append(line(3))
        log.close()
        kept = whole[: whole[:cut].rfind(b"\n") + 1]
        assert path.read_bytes() == kept + line(3)
        assert log.torn == int(len(kept) < cut)


def test_zeros_that_a_power_cut_left_are_removed_also_many_of_them(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for before in (b"", line(1)):
        path.write_bytes(before + bytes(200_000))
        log = EventLog(path)
        log.close()
        assert (path.read_bytes(), log.torn) == (before, 1)


@pytest.mark.parametrize("content", [b"dear diary\n", b"\x89PNG\r\n", b"{}\n", b'{"schema":', b"\n"])
def test_a_file_of_something_else_is_refused_and_stays_as_it_is(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "thesis.txt"
    path.write_bytes(content)
    if b'{"schema": '.startswith(content):
        return  # the beginning of a line of ours that was cut
    with pytest.raises(UserError, match=r"thesis.txt: holds something else than events; choose another file"):
        EventLog(path)
    assert path.read_bytes() == content


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be written \(Is a directory\); choose another file"):
        EventLog(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe: not a file"):
        EventLog(tmp_path / "pipe")


def test_two_processes_cannot_write_one_log(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    hold = "import sys; from pathlib import Path; from edge_reid.events.log import EventLog; "
    hold += "log = EventLog(Path(sys.argv[1])); print('ready', flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        with pytest.raises(UserError, match=r"events.jsonl: another process writes its events there"):
            EventLog(path)
        other.kill()
    log = EventLog(path)  # the system frees what a killed process held
    log.close()


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}


def test_full_files_are_whole_and_hold_everything_in_order(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path, Rotation(file_bytes=1000))
    lines = [line(number) for number in range(1, 51)]
    for text in lines:
        log.append(text)
    log.close()
    assert everything(path) == b"".join(lines)
    assert all(0 < file.stat().st_size <= 1000 for file in full_files(path))
    assert len(full_files(path)) > 5


def test_only_so_many_full_files_are_kept_and_no_other_file_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    others = [
        tmp_path / name for name in ("events.jsonl.bak", "events.1.jsonl", "other.000001.jsonl", "events.000001.txt")
    ]
    for other in others:
        other.write_text("not ours")
    log = EventLog(path, Rotation(file_bytes=1, files=3))
    for number in range(1, 11):
        log.append(line(number))
    log.close()
    assert everything(path) == b"".join(line(number) for number in (7, 8, 9, 10))
    assert [file.name for file in full_files(path)] == [
        "events.000007.jsonl",
        "events.000008.jsonl",
        "events.000009.jsonl",
    ]
    assert all(other.read_text() == "not ours" for other in others)


def test_a_file_is_full_after_a_day_and_goes_after_a_month(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    began = time.time() // DAY * DAY
    now = began
    log = EventLog(path, clock=lambda: now)
    log.append(line(1, wall_time=datetime.fromtimestamp(began, timezone.utc).isoformat(timespec="milliseconds")))
    log.close()
    now = began + 0.9 * DAY
    log = EventLog(path, clock=lambda: now)
    log.append(line(2))
    log.expire()
    assert full_files(path) == []
    now = began + 1.1 * DAY
    log.append(line(3))
    (full,) = full_files(path)
    assert (full.read_bytes().count(b"\n"), path.read_bytes()) == (2, line(3))
    os.utime(full, (began + 0.9 * DAY, began + 0.9 * DAY))
    now = began + 30.8 * DAY
    log.expire()
    assert full in full_files(path)
    now = began + 31.0 * DAY
    log.expire()
    assert full not in full_files(path)
    log.close()


def test_a_log_that_somebody_removed_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "events.jsonl"
    log = EventLog(path)
    log.append(line(1))
    path.unlink()
    (path.parent / ".events.jsonl.lock").unlink()
    path.parent.rmdir()
    log.append(line(2))
    assert path.read_bytes() == line(2)
    log.close()


def test_lines_after_an_event_are_found_as_by_brute_force(tmp_path: Path) -> None:
    generator = random.Random(0)
    path = tmp_path / "events.jsonl"
    runs = [f"2026112{run}T101500Z-{run:08x}" for run in range(4)]
    written = []
    for run in runs:
        log = EventLog(path, Rotation(file_bytes=1500, files=100))
        for number in range(1, generator.randint(2, 25)):
            written.append((run, number))
            log.append(line(number, run))
        log.close()
    with path.open("ab") as file:
        file.write(b'{"schema": 2, damaged 20261120T101500Z-00000000 by the disk}\n')
    log = EventLog(path)
    for _ in range(200):
        known, last = generator.choice(runs), generator.randint(0, 26)
        run = generator.choice(runs[runs.index(known) :])
        wanted = [line(n, r) for r, n in written if (r == known and n > last) or (r == run and r != known)]
        assert log.lines_after(f"{known}-{last:09d}", run, 10**6) == wanted
        assert log.lines_after(f"{known}-{last:09d}", run, 7) == wanted[-7:]
    assert log.lines_after(None, runs[1], 10**6) == [line(n, r) for r, n in written if r == runs[1]]
    log.close()


FULL_DISK = """
import resource, sys
from pathlib import Path
from edge_reid.events.log import EventLog, Rotation
path = Path(sys.argv[1])
log = EventLog(path)
log.append(b'{"schema": 2, "a": 1}\\n')
resource.setrlimit(resource.RLIMIT_FSIZE, (30, resource.RLIM_INFINITY))
for attempt in range(3):
    try:
        log.append(b'{"schema": 2, "b": 1}\\n')
    except OSError as error:
        print(error.strerror, path.stat().st_size)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.append(b'{"schema": 2, "b": 1}\\n')
print(path.read_text(), end="")
"""


def test_a_disk_that_fills_up_in_the_middle_of_a_line_keeps_whole_lines(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "events.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=tmp_path)
    assert done.stderr == ""
    *failures, first, second = done.stdout.splitlines()
    assert failures == ["No space left on device 22"] * 3
    assert (first, second) == ('{"schema": 2, "a": 1}', '{"schema": 2, "b": 1}')
