"""Says which GPU and which TensorRT this machine has; run as a process of its own, as the build is."""

from __future__ import annotations

import json
import sys

import pycuda.driver as cuda
import tensorrt as trt


def main() -> int:
    """One line of JSON."""
    try:
        cuda.init()
        device = cuda.Device(0)
        context = device.retain_primary_context()
        context.push()
        free, _ = cuda.mem_get_info()
        cuda.Context.pop()
    except cuda.Error as error:
        print(f"device cuda:0: {error}; `edge-reid doctor` tells what this machine has", file=sys.stderr)
        return 2
    told = {"tensorrt": str(trt.__version__), "gpu": device.name(), "free_mib": free >> 20}
    print(json.dumps({**told, "compute_capability": device.compute_capability()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
