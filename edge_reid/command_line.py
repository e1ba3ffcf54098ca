"""Command lines of `edge-reid` and of the scripts: read by tyro, and what is wrong with one is one line."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import sys
from collections.abc import Sequence
from typing import Any

import tyro

from edge_reid.cameras.redaction import redact
from edge_reid.errors import UserError

_KINDS = {"INT": "a whole number", "FLOAT": "a number", "INT INT": "two whole numbers", "FLOAT FLOAT": "two numbers"}
"""What tyro calls what an option takes, in words."""


def parse_words(
    kind: Any, words: Sequence[str], *, program: str, description: str | None = None, default: object = None
) -> Any:
    """The `kind` that the words of a command line ask for.

    Args:
        kind: a dataclass, or a union of subcommands.
        words: after the program's name.
        program: its name.
        description: for the help.
        default: a `kind`, for what the words leave out; the dataclass's own values when not given.

    Raises:
        UserError: the words ask for nothing of the kind; the line shows no password.
        SystemExit: help was asked for and given.
    """
    given: dict[str, Any] = {} if default is None else {"default": default}

    def parse(words: Sequence[str]) -> Any:
        return tyro.cli(kind, args=words, prog=program, description=description, **given)

    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return parse(words)
    except SystemExit as error:
        if not error.code:
            sys.stdout.flush()
            raise
        told = io.StringIO()
        with contextlib.redirect_stderr(told), contextlib.suppress(SystemExit):
            parse([redact(word) for word in words])
        raise UserError(_one_line(told.getvalue(), program)) from error


def nobody_reads() -> int:
    """Let go of a standard output whose reader has left, as `| head` does; returns the exit code of who ends by that.

    Python would complain once more when it ends, of what is still to be written.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE


def _one_line(box: str, program: str) -> str:
    """What tyro's box of many lines says: a title, what is wrong, perhaps what was meant, and where help is."""
    # the frame is of lines or, where the output takes ASCII alone, of blanks and hyphens
    lines = [re.sub(r"[ │╯]+$", "", line)[2:] for line in box.splitlines()[1:]]
    rules = [at for at, line in enumerate(lines) if not line.strip("─- ")]
    first = 1 if rules[:1] == [0] else 0
    end = next((at for at in rules if at >= first), len(lines))
    wrong, rest = lines[first:end], lines[end:]
    where = re.search(r"(?:run:?|see) +(\S.* --help|--help)", " ".join(rest))
    help_ = f"`{where[1]}`" if where and where[1] != f"{program} --help" else "--help"
    said = _missing(wrong) if wrong and wrong[0].startswith("Missing from ") else _wrong(" ".join(wrong), rest)
    return f"{said}; see {help_}"


def _missing(lines: Sequence[str]) -> str:
    """Of options, their names; of what has none, what kind of word it is and what it is for."""
    names: list[str] = []
    for line in lines[1:]:
        if len(line) - len(line.lstrip()) <= 4:
            names.append(line.split()[0])
        elif not names[-1].startswith("-"):
            names[-1] += f" {line.strip()}"
    texts = [re.sub(r"^(\S+) (.*?)\.? \(required\)$", r"\1 (\2)", name) for name in names]
    return f"{' and '.join(texts)} {'is' if len(texts) == 1 else 'are'} missing"


def _wrong(text: str, rest: Sequence[str]) -> str:
    if found := re.match(r"Unrecognized options: ([^,]+)", text):
        return _unknown(found[1].strip(), rest)
    if found := re.match(r"Expected one of \{(.*)\}\.", text):
        return f"a command is missing; one of {found[1]}"
    if found := re.match(r"Missing value for argument '(.*)'\. Expected (\d+) values?", text):
        return f"{found[1].rpartition('.')[2]} needs {'a value' if found[2] == '1' else f'{found[2]} values'}"
    if found := re.match(r"invalid choice '(.*)' for argument '(.*)'\. Expected one of \((.*)\)", text):
        choices = sorted(set(re.findall(r"'([^']*)'", found[3])) - {"None"})
        return f"{found[2].rpartition('.')[2]} '{found[1]}': choose from {', '.join(choices)}"
    if found := re.match(r"Error parsing (-\S+): .*?(\['.*'\]|'[^']*'$)", text):
        takes = next((line.split(maxsplit=1)[1] for line in rest if line.strip().startswith(f"{found[1]} ")), "")
        takes = re.sub(r"\{None\}\||[{}]", "", takes).replace("|", " or ")
        return f"{found[1]} {found[2].strip('[]')}: needs {_KINDS.get(takes, takes)}"
    # an error of the dataclass's own
    return re.sub(r"^Error parsing \w+: ", "", text)


def _unknown(word: str, rest: Sequence[str]) -> str:
    text = " ".join(rest)
    if not word.startswith("-"):
        commands = re.search(r"Available subcommands: (.*?) [─-]{3}", text)
        return f"no command '{word}'; one of {commands[1]}" if commands else f"'{word}' is one word too many"
    meant = re.search(r"Perhaps you meant: +(--[\w-]+)", text)
    return f"no option {word}" + (f"; did you mean {meant[1]}?" if meant else "")
