"""What every script of apps/ does around its work: quiet libraries, one line for an error, and an exit code."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from edge_reid.command_line import nobody_reads
from edge_reid.errors import UserError, one_line


def run_script(name: str, work: Callable[[], str], debug: Callable[[], bool]) -> int:
    """Do the work and print what it returns; exit code 0 done, 2 the request was wrong, 130 interrupted.

    Args:
        name: begins every line on standard error.
        work: returns what to print; nothing is printed for an empty text.
        debug: whether an error keeps its traceback.
    """
    # OpenCV and FFmpeg print lines of their own for what is told here in one, and may show passwords
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    logging.basicConfig(format=f"{name}: %(message)s")
    logging.getLogger("edge_reid").setLevel(logging.INFO)
    try:
        if text := work():
            print(text)
        sys.stdout.flush()
    except BrokenPipeError:
        return nobody_reads()
    except (UserError, OSError, ImportError) as error:
        if debug():
            raise
        print(f"{name}: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def leave(code: int) -> NoReturn:
    """End the process with this exit code and no more.

    Not sys.exit: OpenCV aborts a process whose interpreter ends while a reader hangs in a silent camera.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
