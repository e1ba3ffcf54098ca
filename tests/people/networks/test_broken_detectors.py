from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_300_broken_graphs_files_and_specifications_end_in_one_line_or_work(tmp_path: Path) -> None:
    script = Path(__file__).with_name("fuzz_detectors.py")
    roots = os.pathsep.join([str(script.parents[3]), str(script.parent)])
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        capture_output=True, text=True, timeout=120, env=os.environ | {"PYTHONPATH": roots},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr == "", "nothing but the one line is told"
    counts = json.loads(done.stdout)
    assert sum(counts.values()) == 300
    assert all(counts[f"{kind} refused"] > 20 for kind in ("odd_graph", "twisted_graph", "broken_file", "spec"))
    assert counts["twisted_graph works"] + counts["spec works"] > 10, "some are right after all"
