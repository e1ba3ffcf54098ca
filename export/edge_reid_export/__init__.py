"""Makes a checkpoint an artefact: folded, written as ONNX, compared with PyTorch, quantised, bundled, compiled.

Nothing is imported here: `compile` runs on devices without torch.
"""
