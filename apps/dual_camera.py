"""Two cameras, one identity: follow people in a visible and a thermal view and say who is who.

Sources are video files, folders of pictures (`pairs/*_lwir.png`), camera indices, v4l2:, csi:, rtsp:, http: and gst:.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence

from edge_reid.errors import UserError, one_line
from edge_reid.live.options import parse
from edge_reid.live.service import leave, take_credentials
from edge_reid.types import Json


def main(words: Sequence[str]) -> int:
    """Parse and run; exit code 0 done, 2 the request was wrong."""
    # OpenCV and FFmpeg print lines of their own for what is told here in one, and may show passwords
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    logging.basicConfig(format="dual_camera: %(message)s")
    logging.getLogger("edge_reid").setLevel(logging.INFO)
    debug = "--debug" in words
    try:
        take_credentials()
        options = parse(__doc__, words)
        debug = options.debug
        # after the parsing: help needs neither OpenCV nor an engine
        if options.check:
            from edge_reid.live.check import check

            print("\n".join(check(options)))
            return 0
        from edge_reid.live.run import run

        summary = run(options)
    except (UserError, OSError, ImportError) as error:
        if debug:
            raise
        print(f"dual_camera: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(json.dumps(summary) if options.json else readable(summary))
    return 0


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
