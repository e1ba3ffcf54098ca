from __future__ import annotations

import subprocess
import sys

import pytest
from scripts import ROOT, environment

HELP_ALONE = """
import runpy, sys
class Refuse:
    def find_spec(self, name, *_):
        if name.split('.')[0] in ('torch', 'onnxruntime', 'cv2', 'torchvision'):
            raise ImportError(name + ' must not be needed')
sys.meta_path.insert(0, Refuse())
script = sys.argv[1]
sys.argv = [script, '--help']
runpy.run_path('apps/' + script, run_name='__main__')
"""

OPTIONS = {
    "align_cameras.py": ("--visible", "--thermal", "--out", "--click", "--pairs", "--picture", "--offline"),
    "dual_camera.py": ("--bundle", "--visible", "--thermal", "--detector", "--headless", "--events", "--record"),
    "enrol.py": ("--bundle", "--gallery", "--name", "--visible", "--thermal"),
}


@pytest.mark.parametrize("script", OPTIONS)
def test_help_needs_neither_torch_nor_an_engine_nor_opencv(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELP_ALONE, script],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for option in OPTIONS[script]:
        assert option in done.stdout
