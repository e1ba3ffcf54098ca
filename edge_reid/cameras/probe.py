"""One look at a source before the work begins."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from edge_reid.cameras.capture import open_capture
from edge_reid.cameras.frames import FramePreparation
from edge_reid.cameras.sources import parse_source
from edge_reid.cameras.uri import SourceUri
from edge_reid.errors import UserError
from edge_reid.types import Modality

SECONDS = 2.0
"""How long a camera is watched to measure its rate."""


@dataclass(frozen=True)
class Probe:
    """What a source gives."""

    name: str
    size: tuple[int, int]
    """(height, width) of the frames."""
    bits: int
    """Of the pictures, before they become frames: 8 or 16."""
    rate: float
    """Frames per second: of a camera as measured, of a file as it says."""

    def __str__(self) -> str:
        """One line to show."""
        height, width = self.size
        return f"{self.name}: {width} x {height}, {self.bits} bits, {self.rate:.1f} frames per second"


def probe(uri: str, modality: Modality) -> Probe:
    """Open a source once, look at what it gives, and close it.

    Raises:
        UserError: it cannot be opened, gives no picture, or does not answer in time.
    """
    source = parse_source(uri, modality)
    found: list[Probe | UserError] = []

    def look() -> None:
        try:
            found.append(_look(source, modality))
        except UserError as error:
            found.append(error)

    # of its own, for a backend may hang for longer than anybody waits
    thread = threading.Thread(target=look, name=f"{source.name} probe", daemon=True)
    thread.start()
    patience = 4.0 * source.options.timeout + SECONDS
    thread.join(timeout=patience)
    if not found:
        raise UserError(f"{source.name}: does not answer within {patience:g} s; check that it plays elsewhere")
    if isinstance(found[0], UserError):
        raise found[0]
    return found[0]


def _look(source: SourceUri, modality: Modality) -> Probe:
    capture = open_capture(source)
    try:
        shot = capture.read()
        if shot is None:
            raise UserError(f"{source.name}: gives no picture; check that it plays elsewhere")
        frame = FramePreparation(modality, source.options)(shot.picture, 0.0, 0)
        began, count, last = time.monotonic(), 0, shot.moment
        # the first pictures may have waited in a buffer
        while not capture.recorded and time.monotonic() - began < SECONDS and (later := capture.read()) is not None:
            count, last = count + 1, later.moment
        rate = count / (last - shot.moment) if count and last > shot.moment else capture.rate
        return Probe(source.name, (frame.image.shape[0], frame.image.shape[1]), 8 * shot.picture.itemsize, rate)
    finally:
        capture.close()
