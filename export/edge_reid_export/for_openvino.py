"""OpenVINO blobs: what OpenVINO makes of a graph for this processor, so that an engine opens faster."""

from __future__ import annotations

import sys
from pathlib import Path

import openvino

from edge_reid.engines.compiled import Compiled
from edge_reid.engines.openvino_engine import ARITHMETIC, BLOB, graph_blob
from edge_reid.errors import UserError
from edge_reid.files import atomic_file
from edge_reid.machine import processor
from edge_reid_export.compile import Built, Wish
from edge_reid_export.process import REFUSED, answer_of


def build(job: Compiled, wish: Wish) -> Built:
    """Write the blob, in a process of its own: `python -m edge_reid_export.for_openvino GRAPH BLOB`.

    Raises:
        UserError: this OpenVINO cannot read the graph.
        CheckFailed: the build was killed or crashed.
    """
    answer_of([sys.executable, "-m", __name__, job.source, job.path(BLOB)])
    return Built([job.path(BLOB)], openvino.__version__, processor()[0], dict(ARITHMETIC))


def main() -> int:
    """Make the blob of a graph."""
    source, blob = (Path(word) for word in sys.argv[1:])
    try:
        content = graph_blob(source)
    except UserError as error:
        print(error, file=sys.stderr)
        return REFUSED
    with atomic_file(blob) as temporary:
        temporary.write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
