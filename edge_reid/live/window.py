"""The window, and whether there can be one."""

from __future__ import annotations

import os
import subprocess
import sys

import cv2
import numpy as np
from numpy.typing import NDArray

PROBE = "import cv2, numpy; cv2.imshow('probe', numpy.zeros((8, 8), numpy.uint8)); cv2.waitKey(1)"


def can_show() -> bool:
    """Whether a window would open here.

    Without a reachable display OpenCV's Qt aborts the process instead of raising, so another process tries first.
    """
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        probe = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return False
    return probe.returncode == 0


class Window:
    """A window that shows pictures until someone presses q or Escape, or closes it."""

    def __init__(self, title: str) -> None:
        """Take the title; the window opens with the first picture."""
        self._title = title

    def show(self, picture: NDArray[np.uint8]) -> bool:
        """Show a picture; False once the user wants to stop."""
        cv2.imshow(self._title, picture)
        key = cv2.waitKey(1) & 0xFF
        return key not in (ord("q"), 27) and cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1

    def close(self) -> None:
        """Close the window."""
        cv2.destroyAllWindows()
