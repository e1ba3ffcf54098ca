"""Says which GPU and which TensorRT this machine has; run as a process of its own, as the build is."""

from __future__ import annotations

import json
import sys

import pycuda.driver as cuda
import tensorrt as trt

from edge_reid.engines.cuda import gpu, gpu_name
from edge_reid.errors import UserError
from edge_reid_export.process import REFUSED


def main() -> int:
    """One line of JSON."""
    try:
        device = gpu()
    except UserError as error:
        print(error, file=sys.stderr)
        return REFUSED
    device.retain_primary_context().push()
    free, _ = cuda.mem_get_info()
    cuda.Context.pop()
    told = {"tensorrt": str(trt.__version__), "gpu": gpu_name(), "free_mib": free >> 20}
    print(json.dumps({**told, "compute_capability": device.compute_capability()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
