"""Makes a network smaller: which pictures calibrate it, what its values' ranges are, where 8 bits pay."""

from edge_reid_calibration.collect import choose, doubts, fingerprint, load_chunks
from edge_reid_calibration.quantize import Calibration, Quantizer
from edge_reid_calibration.scheme import Scheme

__all__ = ["Calibration", "Quantizer", "Scheme", "choose", "doubts", "fingerprint", "load_chunks"]
