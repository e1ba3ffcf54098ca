"""Two cameras, one identity: follow people in a visible and a thermal view and say who is who.

Sources are video files, folders of pictures (`pairs/*_lwir.png`), camera indices, v4l2:, csi:, rtsp:, http: and gst:.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from edge_reid.live.options import parse
from edge_reid.live.script import leave, run_script
from edge_reid.live.service import take_credentials
from edge_reid.types import Json


def main(words: Sequence[str]) -> int:
    """Parse and run; exit code 0 done, 2 the request was wrong."""
    debug = "--debug" in words

    def work() -> str:
        nonlocal debug
        take_credentials()
        options = parse(__doc__, words)
        debug = options.debug
        # after the parsing: help needs neither OpenCV nor an engine
        if options.check:
            from edge_reid.live.check import check

            return "\n".join(check(options))
        from edge_reid.live.run import run

        summary = run(options)
        return json.dumps(summary) if options.json else readable(summary)

    return run_script("dual_camera", work, lambda: debug)


def readable(summary: dict[str, Json]) -> str:
    """One line for each entry of a summary."""
    lines = []
    for key, value in summary.items():
        rows = value.items() if isinstance(value, dict) else []
        if any(isinstance(row, dict) for _, row in rows):
            lines += [f"{key if not at else '':>12}  {name}: {_flat(row)}" for at, (name, row) in enumerate(rows)]
        else:
            lines += [f"{key:>12}  {_flat(value)}"] if value != {} else []
    return "\n".join(lines)


def _flat(value: Json) -> str:
    return ", ".join(f"{name} {one}" for name, one in value.items()) if isinstance(value, dict) else str(value)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
