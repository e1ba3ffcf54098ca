"""What TensorRT says while it works: it answers with a null pointer, and its reason stands in the log alone."""

from __future__ import annotations

import tensorrt as trt


class Log(trt.ILogger):  # type: ignore[misc, unused-ignore]  # Any where TensorRT is not installed
    """Keeps what went wrong, for the one line that is said of it."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.errors: list[str] = []

    def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
        """Called by TensorRT."""
        if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
            self.errors.append(" ".join(msg.split()))

    def last(self) -> str:
        """The last error, in one line."""
        return self.errors[-1] if self.errors else "TensorRT said no more"
