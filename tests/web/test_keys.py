from __future__ import annotations

from pathlib import Path

import pytest

from edge_reid.errors import UserError
from edge_reid.web.keys import (
    ENVIRONMENT,
    MOST_ADDRESSES,
    MOST_ENDED,
    MOST_WRONG,
    SESSION_SECONDS,
    Keys,
    TooManyWrong,
    given_token,
)

TOKEN = "correct-horse-battery-staple"


class Clock:
    def __init__(self) -> None:
        self.time = 1e9

    def __call__(self) -> float:
        return self.time


def test_the_token_opens_and_nothing_like_it_does() -> None:
    keys = Keys(TOKEN)
    assert keys.opens(TOKEN, "a")
    for index, wrong in enumerate(("", TOKEN[:-1], TOKEN + " ", TOKEN.upper(), "\ud800", "é" * 28)):
        assert not keys.opens(wrong, str(index))


def test_who_guesses_too_often_is_not_listened_to_for_a_while_and_others_are() -> None:
    clock = Clock()
    keys = Keys(TOKEN, clock)
    for _ in range(MOST_WRONG):
        assert not keys.opens("wrong", "bad")
    with pytest.raises(TooManyWrong):
        keys.opens("wrong", "bad")
    with pytest.raises(TooManyWrong):
        keys.opens(TOKEN, "bad")
    assert keys.opens(TOKEN, "good")
    clock.time += 60.0
    assert keys.opens(TOKEN, "bad")


def test_guesses_from_ever_new_addresses_need_no_more_memory() -> None:
    keys = Keys(TOKEN)
    for index in range(3 * MOST_ADDRESSES):
        keys.opens("wrong", str(index))
    assert len(keys._wrong) == MOST_ADDRESSES


def test_a_session_lasts_a_week_and_dies_with_the_token() -> None:
    clock = Clock()
    keys = Keys(TOKEN, clock)
    session = keys.session()
    assert TOKEN not in session
    assert keys.admits(session)
    assert Keys(TOKEN, clock).admits(session), "also after a restart"
    assert not Keys(TOKEN + "2", clock).admits(session)
    clock.time += 7 * 24 * 3600.0
    assert not keys.admits(session)


@pytest.mark.parametrize("forged", ["", ".", "9999999999.", "9999999999.00", "nan.x", "x" * 10_000, "9.\u00e9"])
def test_a_made_up_session_is_none(forged: str) -> None:
    assert not Keys(TOKEN).admits(forged)


def test_a_session_cannot_be_prolonged() -> None:
    keys = Keys(TOKEN)
    expires, _, signed = keys.session().partition(".")
    assert not keys.admits(f"{int(expires) + 1}.{signed}")


def test_a_session_that_was_ended_stays_so_and_no_other_does() -> None:
    keys = Keys(TOKEN, Clock())
    ended, other = keys.session(), keys.session()
    keys.end(ended)
    keys.end("9999999999.00.00")
    assert not keys.admits(ended)
    assert keys.admits(other)


def test_signing_in_and_out_for_ever_needs_no_more_memory_and_revives_nothing() -> None:
    clock = Clock()
    keys = Keys(TOKEN, clock)
    first = keys.session()
    keys.end(first)
    for _ in range(MOST_ENDED):
        keys.end(keys.session())
    assert len(keys._ended) <= MOST_ENDED
    assert not keys.admits(first)
    assert keys.admits(keys.session()), "who has the token signs in again"
    keys.end(keys.session())
    clock.time += SESSION_SECONDS
    keys.end(keys.session())
    assert len(keys._ended) == 1, "those whose time is over need no memory"


def test_a_token_comes_from_a_private_file_or_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    assert given_token(file, {}) == TOKEN
    assert given_token(file, {ENVIRONMENT: "another-long-enough"}) == TOKEN
    assert given_token(None, {ENVIRONMENT: TOKEN}) == TOKEN
    assert given_token(None, {}) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610])
def test_a_token_that_others_can_read_is_refused(mode: int, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(mode)
    with pytest.raises(UserError, match=r"token: others than its owner.*chmod 600"):
        given_token(file, {})


@pytest.mark.parametrize("content", [b"", b"short", b"two words of length", b"\xff" * 20, "é".encode() * 20])
def test_a_bad_token_is_one_line_that_does_not_show_it(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(UserError) as refused:
        given_token(file, {})
    assert str(file) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not content or content.decode(errors="replace") not in str(refused.value)


def test_a_token_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: the page's token cannot be read \(No such file"):
        given_token(tmp_path / "nowhere", {})
    with pytest.raises(UserError, match="cannot be read"):
        folder = tmp_path / "folder"
        folder.mkdir(mode=0o700)
        given_token(folder, {})
    with pytest.raises(UserError, match=f"{ENVIRONMENT}: a token is one word of at least 16"):
        given_token(None, {ENVIRONMENT: "short"})
