"""What a run was made of: the code's revision, and a fingerprint of the pictures."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import edge_reid
from edge_reid.data.folder import Attributes
from edge_reid.data.parts import relative
from edge_reid.types import Sample


def revision() -> str | None:
    """The commit of the checkout that this code runs from, with + where it was changed; None outside of one."""
    root = Path(edge_reid.__file__).parent.parent
    if not (root / ".git").exists():
        return None
    words = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
    try:
        said = subprocess.run(words, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said.stdout.strip() or None


def fingerprint(samples: list[Sample], root: Path, attributes: Attributes | None, maps: list[Path]) -> str:
    """Of the pictures' names and sizes and of what else is learnt: other people, or new drawings, have another."""
    lines = [f"{relative(sample.path, root).as_posix()} {sample.path.stat().st_size}" for sample in samples]
    lines += [f"{attributes}", *(f"{path.name} {path.stat().st_size}" for path in maps)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
