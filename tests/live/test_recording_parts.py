"""A recording that goes on for weeks: in parts, within a bound, whatever happens to the disk or the process."""

from __future__ import annotations

import logging
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_reid.errors import UserError
from edge_reid.live.parts import AGAIN_SECONDS, PART_SECONDS, PARTS, Parts
from edge_reid.live.recording import recording

ROOT = Path(__file__).parents[2]
NOON = 1795348800.0
"""Of 22 November 2026."""

PLAIN = np.full((64, 96, 3), 80, np.uint8)


def noise(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (64, 96, 3), dtype=np.uint8)


def frames(path: Path) -> int:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    count = 0
    while capture.read()[0]:
        count += 1
    return count


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_a_part_is_an_hour_at_most_and_named_for_when_it_began(tmp_path: Path) -> None:
    now = NOON
    parts = Parts(tmp_path / "door.avi", 0.01, float("inf"), lambda: now)
    for second in range(0, 10_000, 100):
        now = NOON + second
        parts.add(PLAIN, float(second))
        assert len([name for name in names(tmp_path) if name.startswith(".")]) == 1, "the one that is written"
    parts.close()
    assert names(tmp_path) == [f"door-20261122T{hour}0000Z.avi" for hour in (12, 13, 14)]
    assert [frames(tmp_path / name) for name in names(tmp_path)] == [36, 36, 28], "none is lost or doubled"


def test_all_parts_stay_below_the_bound_and_the_oldest_go(tmp_path: Path) -> None:
    others = ("door.avi", "door-1.avi", "door-20200101T000000Z.mp4", "hall-20200101T000000Z.avi")
    for other in others:
        (tmp_path / other).write_bytes(b"another's")
    most = 4_000_000
    now = NOON
    parts = Parts(tmp_path / "door.avi", 10.0, most, lambda: now)
    largest = 0
    seen: list[str] = []
    for index in range(1200):
        now = NOON + index / 10
        parts.add(noise(index), index / 10)
        seen += [name for name in names(tmp_path) if name not in seen and not name.startswith(".")]
        largest = max(largest, size(tmp_path))
    parts.close()
    largest = max(largest, size(tmp_path))
    assert (1 - 4 / PARTS) * most < largest <= most
    kept = [name for name in names(tmp_path) if name not in others]
    made = sorted({*seen, *kept} - {*others})
    assert len(made) > len(kept) > PARTS / 2
    assert kept == made[-len(kept) :], "the newest are there"
    assert set(others) < set(names(tmp_path))


def test_a_clock_that_is_set_back_costs_no_part(tmp_path: Path) -> None:
    for _ in range(3):
        parts = Parts(tmp_path / "door.avi", 1.0, float("inf"), lambda: NOON)
        parts.add(PLAIN, 0.0)
        parts.close()
    assert names(tmp_path) == [f"door-20261122T12000{second}Z.avi" for second in range(3)]


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from edge_reid.live.parts import Parts
parts = Parts(Path(sys.argv[1]), 10.0, float("inf"))
rng = np.random.default_rng(0)
for index in range(100):
    parts.add(rng.integers(0, 255, (240, 320, 3), dtype=np.uint8), index / 10)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("suffix", "kept"), [(".avi", 1), (".mp4", 0)])
def test_what_a_kill_leaves_is_kept_where_it_can_be_played(suffix: str, kept: int, tmp_path: Path) -> None:
    path = tmp_path / f"door{suffix}"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    (hidden,) = names(tmp_path)
    assert hidden.startswith(".door-")
    parts = Parts(path, 10.0, float("inf"))
    parts.add(PLAIN, 0.0)
    assert [name for name in names(tmp_path) if name == hidden[1:]] == [hidden[1:]] * kept
    parts.close()
    assert len(names(tmp_path)) == kept + 1
    assert all(frames(tmp_path / name) for name in names(tmp_path))
    assert not kept or frames(tmp_path / hidden[1:]) > 90, "all but what was still in memory"


def test_two_processes_do_not_remove_each_others_parts(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "door.avi", 10.0, float("inf"))
    with pytest.raises(UserError, match=r"door\.avi: another process writes its recording there"):
        Parts(tmp_path / "door.avi", 10.0, float("inf"))
    parts.close()
    Parts(tmp_path / "door.avi", 10.0, float("inf")).close()


def test_a_folder_that_is_gone_is_told_and_the_next_minute_is_recorded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "disk"
    parts = Parts(folder / "door.avi", 1.0, float("inf"), lambda: NOON)
    parts.add(PLAIN, 0.0)
    shutil.rmtree(folder)
    folder.write_text("in the way")
    for second in range(1, int(AGAIN_SECONDS)):
        parts.add(PLAIN, float(second))
    assert len(caplog.records) == 1, "one line, not one for each picture"
    assert "--record: " in caplog.text and "trying again in a minute" in caplog.text
    folder.unlink()
    parts.add(PLAIN, 1.0 + AGAIN_SECONDS)
    parts.close()
    assert names(folder) == ["door-20261122T120000Z.avi"]


def test_a_part_that_a_full_disk_cut_short_is_told_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    now = NOON
    parts = Parts(tmp_path / "door.avi", 10.0, float("inf"), lambda: now)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        for index in range(100):
            parts.add(noise(index), index / 10)
        now = NOON + PART_SECONDS
        parts.add(PLAIN, PART_SECONDS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "door-20261122T120000Z.avi was not written whole; free some disk space" in caplog.text
    parts.close()
    assert frames(tmp_path / "door-20261122T130000Z.avi") == 1


def test_parts_are_kept_however_the_run_ends(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        recording(tmp_path / "door.mp4", 10.0, patient=True, gigabytes=1.0) as video,
    ):
        assert video is not None
        video.write(PLAIN, 0.0)
        raise KeyboardInterrupt
    (name,) = names(tmp_path)
    assert name.startswith("door-")
    assert frames(tmp_path / name) == 1


def test_a_bound_of_no_recording_is_refused() -> None:
    with pytest.raises(UserError, match="give --record FILE, too"), recording(None, 1.0, patient=True, gigabytes=1.0):
        pass
