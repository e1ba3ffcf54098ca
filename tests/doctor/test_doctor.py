from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from edge_reid.doctor import _build_value, doctor, installed_version


def test_every_check_that_is_not_ok_has_a_remedy() -> None:
    checks = doctor()
    names = [check.name for check in checks]
    assert len(names) == len(set(names))
    assert {"python", "opencv", "onnxruntime", "torch", "processor", "disk"} <= set(names)
    for check in checks:
        assert check.detail
        assert bool(check.remedy) == (check.state != "ok"), check
    json.dumps([check.as_json() for check in checks])


def test_it_needs_no_torch() -> None:
    code = "import sys, edge_reid.doctor; edge_reid.doctor.doctor(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_what_opencv_was_built_with_is_read_from_its_own_words() -> None:
    information = (
        "  GUI:                           NONE\n  Video I/O:\n    GStreamer:        YES (1.20)\n    FFMPEG:  NO\n"
    )
    assert [_build_value(information, key) for key in ("GUI", "GStreamer", "FFMPEG", "v4l/v4l2")] == ["", "YES", "", ""]


def test_a_version_is_found_without_importing() -> None:
    assert installed_version("numpy")
    assert installed_version("no-such-package") is None
