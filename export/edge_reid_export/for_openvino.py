"""OpenVINO blobs: what OpenVINO makes of a graph for this processor, so that an engine opens faster."""

from __future__ import annotations

import openvino

from edge_reid.engines.compiled import Compiled
from edge_reid.engines.openvino_engine import ARITHMETIC, BLOB, graph_blob
from edge_reid.files import atomic_file
from edge_reid.machine import processor
from edge_reid_export.compile import Built, Wish


def build(job: Compiled, wish: Wish) -> Built:
    """Write the blob.

    Raises:
        UserError: this OpenVINO cannot read the graph.
    """
    content = graph_blob(job.source)
    with atomic_file(job.path(BLOB)) as temporary:
        temporary.write_bytes(content)
    return Built([job.path(BLOB)], openvino.__version__, processor()[0], dict(ARITHMETIC))
