from __future__ import annotations

import logging
import os
import random
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from edge_reid.errors import UserError
from edge_reid.events.outbox import Message, Outbox


def message(number: int) -> Message:
    return Message(f"key-{number}", "visible/track_started", b"%d" % number + bytes(range(256)))


def keys(outbox: Outbox, most: int = 10**6) -> list[str]:
    return [message.key for _, message in outbox.first(most)]


def test_messages_come_out_whole_and_in_the_order_in_which_they_went_in(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "queue.sqlite")
    outbox.put([message(3), message(1)])
    outbox.put([])
    outbox.put([message(2)])
    batch = outbox.first(2)
    assert [entry for _, entry in batch] == [message(3), message(1)]
    outbox.remove(batch[-1][0])
    assert [entry for _, entry in outbox.first(2)] == [message(2)]
    assert (outbox.waiting, outbox.delivered) == (1, 2)
    outbox.close()


def test_what_was_put_and_removed_is_so_in_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "queue.sqlite"
    outbox = Outbox(path, most=5)
    outbox.put([message(number) for number in range(7)])
    outbox.remove(outbox.first(1)[0][0])
    outbox.remove(outbox.first(1)[0][0], refused=True)
    outbox.close()
    outbox = Outbox(path, most=5)
    assert keys(outbox) == ["key-4", "key-5", "key-6"]
    assert (outbox.waiting, outbox.dropped, outbox.refused, outbox.newest) == (3, 2, 1, "key-6")
    outbox.mark("other")
    outbox.close()
    outbox = Outbox(path)
    assert outbox.newest == "other"
    outbox.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_queue_is_a_bounded_list(tmp_path: Path) -> None:
    generator = random.Random(1)
    outbox = Outbox(tmp_path / "queue.sqlite", most=20)
    model: list[str] = []
    put = dropped = 0
    for _ in range(300):
        if generator.random() < 0.5:
            count = generator.randint(0, 30)
            outbox.put([message(put + index) for index in range(count)])
            model += [message(put + index).key for index in range(count)]
            put, dropped, model = put + count, dropped + max(0, len(model) - 20), model[-20:]
        elif model:
            batch = outbox.first(generator.randint(1, 8))
            outbox.remove(batch[-1][0])
            model = model[len(batch) :]
        assert keys(outbox) == model
        assert (outbox.waiting, outbox.dropped) == (len(model), dropped)
    outbox.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from edge_reid.events.outbox import Message, Outbox
outbox = Outbox(Path(sys.argv[1]))
for number in range(1000):
    outbox.put([Message(f"key-{number}", "", b"")])
print("put", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_put_is_there_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"
    subprocess.run([sys.executable, "-c", KILLED, str(path)], env=environment(), check=False)
    outbox = Outbox(path)
    assert keys(outbox) == [f"key-{number}" for number in range(1000)]
    outbox.close()


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}


FULL_DISK = """
import resource, sqlite3, sys
from pathlib import Path
from edge_reid.events.outbox import Message, Outbox
path = Path(sys.argv[1])
outbox = Outbox(path)
put = 0
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
try:
    while True:
        outbox.put([Message(f"key-{put}", "", bytes(1000)), Message(f"key-{put + 1}", "", bytes(1000))])
        put += 2
except sqlite3.Error:
    pass
removed = outbox.first(5)
try:
    for _ in range(100):
        outbox.remove(removed[-1][0])
except sqlite3.Error:
    print("cannot remove")
print(outbox.first(1)[0][1].key, outbox.newest == f"key-{put - 1}")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
outbox.put([Message(f"key-{put}", "", b"")])
outbox.close()
outbox = Outbox(path)
left = [message.key for _, message in outbox.first(100000)]
print(put > 10, left == [f"key-{number}" for number in range(put + 1 - len(left), put + 1)], put + 1 - len(left))
"""


def test_a_full_disk_keeps_what_was_put_and_repeats_nothing_that_was_removed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "queue.sqlite")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert done.stderr == ""
    *_, first, last = done.stdout.splitlines()
    assert first == "key-5 True"
    assert last in ("True True 5", "True True 0")  # a removal that did not reach the disk is done again


def test_one_process_has_an_outbox(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"
    hold = "import sys; from pathlib import Path; from edge_reid.events.outbox import Outbox; "
    hold += "outbox = Outbox(Path(sys.argv[1])); print('ready', flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        with pytest.raises(UserError, match=r"queue.sqlite: another process delivers from there"):
            Outbox(path)
        other.kill()
    Outbox(path).close()


def test_a_damaged_outbox_is_put_aside_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "queue.sqlite"
    path.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 40)
    outbox = Outbox(path)
    outbox.put([message(1)])
    assert keys(outbox) == ["key-1"]
    outbox.close()
    assert "queue.sqlite: damaged; it was renamed to queue.sqlite.damaged" in caplog.text
    assert (tmp_path / "queue.sqlite.damaged").read_bytes().startswith(b"SQLite format 3\0\0\1")


def test_the_database_of_another_program_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"
    with sqlite3.connect(path) as foreign:
        foreign.execute("CREATE TABLE diary (day, text)")
    foreign.close()
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"queue.sqlite: the database of another program; choose another folder"):
        Outbox(path)
    assert path.read_bytes() == before


def test_what_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written \(.*\); choose another folder"):
        Outbox(tmp_path / "file" / "queue.sqlite")
    with pytest.raises(UserError, match="cannot be written"):
        Outbox(tmp_path)


def test_damage_of_any_kind_ends_in_a_working_outbox_or_in_one_line(tmp_path: Path) -> None:
    logging.disable()
    try:
        generator = random.Random(2)
        path = tmp_path / "queue.sqlite"
        outbox = Outbox(path)
        outbox.put([message(number) for number in range(60)])
        outbox.close()
        whole = path.read_bytes()
        for _ in range(60):
            damaged = bytearray(whole[: generator.choice([len(whole), generator.randrange(len(whole))])])
            for _ in range(generator.choice([0, 1, 20]) if damaged else 0):
                damaged[generator.randrange(len(damaged))] = generator.randrange(256)
            path.write_bytes(damaged)
            path.with_name("queue.sqlite-wal").unlink(missing_ok=True)
            try:
                outbox = Outbox(path)
            except UserError as error:
                assert "\n" not in str(error)
                continue
            outbox.put([message(100)])
            assert keys(outbox)[-1] == "key-100"
            outbox.remove(outbox.first(10**6)[-1][0])
            outbox.close()
    finally:
        logging.disable(logging.NOTSET)
