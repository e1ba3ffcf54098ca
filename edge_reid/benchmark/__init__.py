"""How fast and how good every engine of a bundle is on this machine, and which one to use."""

from edge_reid.benchmark.rows import Kind, Record, Row
from edge_reid.benchmark.run import benchmark

__all__ = ["Kind", "Record", "Row", "benchmark"]
