"""What the readers of the published data sets share: lists of numbers, lists of files, pictures in a folder."""

from __future__ import annotations

from pathlib import Path

from edge_reid.errors import UserError

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}


def pictures(folder: Path) -> list[Path]:
    """The pictures in a folder by name; none where the folder does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != ".")


def read_numbers(path: Path) -> list[int]:
    """One line of numbers with commas between them.

    Raises:
        UserError: the file is missing or holds something else.
    """
    text = read_text(path)
    try:
        return [int(word) for word in text.split("\n")[0].split(",") if word.strip()]
    except ValueError as error:
        raise UserError(f"{path}: not one line of numbers with commas ({error}); unpack the archive again") from error


def read_list(path: Path) -> list[tuple[str, int]]:
    """Lines of a relative path, a space and a label.

    Raises:
        UserError: the file is missing or a line holds something else.
    """
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        name, _, label = line.rpartition(" ")
        if not name or not label.isdecimal():
            raise UserError(
                f"{path}:{number}: expected a path and a label, got {line[:60]!r}; unpack the archive again"
            )
        rows.append((name, int(label)))
    if not rows:
        raise UserError(f"{path}: is empty; unpack the archive again")
    return rows


def read_text(path: Path) -> str:
    """The text of a file of the archive.

    Raises:
        UserError: it is missing or no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; is {path.parent.parent} the unpacked data set?") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); unpack the archive again") from error
