"""One engine in a process of its own: `python -m edge_reid.engines.probe BUNDLE MODALITY BACKEND PRECISION BATCH`.

It prints READY after its first embedding and the most bytes that it ever held after a call with BATCH crops. It imports
what an app imports to embed, and nothing for the sake of measuring.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import get_args

import numpy as np

from edge_reid.bundle import Bundle, Precision
from edge_reid.engines import load_engine
from edge_reid.errors import UserError
from edge_reid.types import MODALITIES

READY = "ready"

REFUSED = 2
"""Exit code where the engine does not open; standard error says why in one line."""


def main(words: list[str]) -> int:
    """Open, embed, and tell."""
    path, asked_modality, backend, asked_precision, batch = words
    modality = next(one for one in MODALITIES if one == asked_modality)
    precision: Precision = next(one for one in get_args(Precision) if one == asked_precision)
    bundle = Bundle.open(Path(path))
    try:
        engine = load_engine(bundle, modality, backend, precision)
    except UserError as error:
        print(error, file=sys.stderr)
        return REFUSED
    planes = (3,) if modality == "visible" else ()
    crops = np.zeros((int(batch), *bundle.manifest.input_size, *planes), np.uint8)
    engine.embed(crops[:1])
    print(READY, flush=True)
    engine.embed(crops)
    print(peak_bytes(), flush=True)
    return 0


def peak_bytes() -> int:
    """The most memory that this process ever held.

    Linux hands `ru_maxrss` on from the process that started this one, which may have been far larger; VmHWM is our own.
    """
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    if found:
        return 1024 * int(found[1])
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
