"""Detection networks in ONNX files that the user supplies: which family, what picture they take, what they answer."""
