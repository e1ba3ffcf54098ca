"""Outputs are whole or absent."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edge_reid.errors import UserError
from edge_reid.files import atomic_file, atomic_folder, sha256


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "answer.txt"
    with atomic_file(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert [path.name for path in target.parent.iterdir()] == ["answer.txt"]


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "answer.txt"
    target.write_text("old")
    with pytest.raises(OSError, match="full"), atomic_file(target) as temporary:
        temporary.write_text("half")
        raise OSError("disk full")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["answer.txt"]


def test_a_folder_is_not_replaced_by_accident(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "kept").write_text("x")
    with pytest.raises(UserError, match="exists"), atomic_folder(target, marker="kept"):
        pass
    with (
        pytest.raises(UserError, match=r"--overwrite replaces only what this command wrote \(there is no manifest"),
        atomic_folder(target, overwrite=True, marker="manifest.json"),
    ):
        pass
    with pytest.raises(KeyboardInterrupt), atomic_folder(target, overwrite=True, marker="kept"):
        raise KeyboardInterrupt
    assert (target / "kept").exists()
    with atomic_folder(target, overwrite=True, marker="kept") as temporary:
        (temporary / "new").write_text("y")
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_sha256_is_the_digest_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(b"edge" * 1_000_000)
    assert sha256(path) == hashlib.sha256(b"edge" * 1_000_000).hexdigest()
