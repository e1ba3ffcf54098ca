from __future__ import annotations

import re
import sqlite3
import stat
from pathlib import Path

import numpy as np
import pytest
from strangers import all_bytes, gallery, look

from edge_reid.errors import UserError
from edge_reid.gallery.cipher import KEY_VARIABLE, AesGcm, make_key, read_key

KEY = bytes(range(32))


def test_a_value_opens_under_its_key_at_its_place_and_nowhere_else() -> None:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    cipher = AesGcm(KEY)
    stored = cipher.seal(b"Ada", "people/3/name")
    assert cipher.unseal(stored, "people/3/name") == b"Ada"
    assert AESGCM(KEY).decrypt(stored[:12], stored[12:], b"people/3/name") == b"Ada", "as the library would by hand"
    assert stored != cipher.seal(b"Ada", "people/3/name"), "equal values look different"
    for other, place in (
        (stored, "people/4/name"),
        (stored[:-1], "people/3/name"),
        (stored[:5], "people/3/name"),
        (b"", "people/3/name"),
        (bytes([stored[0] ^ 1]) + stored[1:], "people/3/name"),
    ):
        with pytest.raises(ValueError, match="not what this key has sealed"):
            cipher.unseal(other, place)
    with pytest.raises(ValueError, match="not what this key has sealed"):
        AesGcm(bytes(32)).unseal(stored, "people/3/name")


def test_an_encrypted_gallery_says_nothing_and_opens_with_its_key(random: np.random.Generator, tmp_path: Path) -> None:
    path, one = tmp_path / "people", look(random)
    crop = b"\xff\xd8 the face of Ada"
    with gallery(path, key=KEY, keep_crops=True) as people:
        number = people.enrol("Ada Lovelace", [one], [crop])
        people.flush()
        for value in (b"Ada", crop[4:], one.vector.tobytes()[:16], KEY, KEY.hex().encode()):
            assert value not in all_bytes(tmp_path)
        assert people.stats().encrypted
    with gallery(path, key=KEY) as people:
        assert people.names() == {number: "Ada Lovelace"}
        assert people.search(one.vector[None], "visible")[0][0].score == pytest.approx(1.0)
        people.rename(number, "Eva")
        people.flush()
        assert b"Eva" not in all_bytes(tmp_path)


def test_keys_that_do_not_fit_are_one_line(random: np.random.Generator, tmp_path: Path) -> None:
    path, plain = tmp_path / "people", tmp_path / "plain"
    with gallery(path, key=KEY) as people:
        people.add(look(random))
    with gallery(plain):
        pass
    for file, key, line in (
        (path, None, "encrypted; give its key with --key FILE (the app: --gallery-key) or EDGE_REID_GALLERY_KEY"),
        (path, bytes(32), "made with another key, or damaged; give the right one"),
        (plain, KEY, "not encrypted, but a key was given; leave --key"),
    ):
        with pytest.raises(UserError, match=re.escape(f"{file}: {line}")), gallery(file, key=key):
            pass


def test_a_value_put_into_another_row_is_noticed(random: np.random.Generator, tmp_path: Path) -> None:
    path = tmp_path / "people"
    with gallery(path, key=KEY) as people:
        people.enrol("Ada", [look(random)])
        people.enrol("Bob", [look(random)])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE people SET name = (SELECT name FROM people WHERE number = 1) WHERE number = 2")
    with pytest.raises(UserError, match=f"{path}: damaged"), gallery(path, key=KEY):
        pass


def test_a_key_is_made_for_its_owner_alone_and_never_over_another(tmp_path: Path) -> None:
    path = tmp_path / "key"
    make_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = read_key(path)
    assert key is not None and len(key) == 32
    with pytest.raises(UserError, match=f"{path} exists and may be a gallery's key"):
        make_key(path)
    assert read_key(path) == key
    make_key(tmp_path / "other")
    assert read_key(tmp_path / "other") != key


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    make_key(path)
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(UserError, match=f"{path}: others can read this key; chmod 600 {path}"):
            read_key(path)
    path.chmod(0o400)
    assert read_key(path) is not None


@pytest.mark.parametrize("text", ["", "abc", "0" * 63, "0" * 66, "g" * 64, "\udcff"])
def test_what_is_no_key_is_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    path.write_bytes(text.encode(errors="surrogateescape"))
    path.chmod(0o600)
    with pytest.raises(UserError, match=f"{path}: not a key of 64 hexadecimal digits"):
        read_key(path)
    monkeypatch.setenv(KEY_VARIABLE, text)
    with pytest.raises(UserError, match=f"{KEY_VARIABLE}: not a key"):
        read_key(None)


def test_the_key_may_come_from_the_environment_and_a_file_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert read_key(None) is None
    monkeypatch.setenv(KEY_VARIABLE, KEY.hex().upper())
    assert read_key(None) == KEY
    make_key(tmp_path / "key")
    assert read_key(tmp_path / "key") != KEY
    with pytest.raises(UserError, match="cannot be read"):
        read_key(tmp_path / "missing")
