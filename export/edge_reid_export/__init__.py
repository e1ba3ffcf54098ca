"""Makes a checkpoint an artefact: folded, written as ONNX, compared with PyTorch, quantised, measured, bundled."""

from edge_reid_export.export import export

__all__ = ["export"]
