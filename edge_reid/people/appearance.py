"""How a track looks: the mean embedding of its best crops, taken on a schedule.

Shapes: h, w the frame's size; H, W the network's input; D the embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.people.boxes import areas, intersections
from edge_reid.people.tracking import Track
from edge_reid.preprocess import resize
from edge_reid.types import Embed, Modality

MOST_REMEMBERED = 24
"""Crops that a track's appearance is the mean of; with more, the older ones fade."""

MOST_PER_STEP = 4
"""Crops of one modality in one batch: bounds the time that a frame takes however many people walk in at once."""

FIRST_INTERVAL, LAST_INTERVAL = 0.1, 3.0
"""Seconds from a track's first crop to its second; each later one waits as much longer than the one before, up to the
last: who stays for an hour is still looked at."""

MOST_OVERLAP = 0.3
"""Share of a person's box that others may cover: above, the crop shows two people."""

EDGE = 0.01
"""Distance of a box from the frame's edge, as a share of the frame: within, the edge may have cut the person off. Head
and shoulders of one person are like those of another: on a real clip they made six visitors four."""

LEAST_WEIGHT = 1e-3
"""Of a crop without any edges."""

LEAST_HEIGHT = 0.2
"""Of a box, as a share of the network's input height: less shows a person, but not which."""


@dataclass
class Appearance:
    """The weighted sum of a track's embeddings, of the weights, how many there are, and when the next is due."""

    total: NDArray[np.float32]
    quality: float = 0.0
    count: int = 0
    due: float = 0.0
    best: tuple[float, NDArray[np.uint8] | None] = (0.0, None)
    """The weight of the crop that shows them best, and the crop."""

    @property
    def embedding(self) -> NDArray[np.float32]:
        """Their mean as a unit vector `(D,)`."""
        return np.asarray(self.total / max(float(np.linalg.norm(self.total)), 1e-12), dtype=np.float32)

    def add(self, embedding: NDArray[np.float32], weight: float, crop: NDArray[np.uint8], time: float) -> None:
        """Take the embedding `(D,)` of a crop."""
        if self.count >= MOST_REMEMBERED:
            fading = np.float32(1.0 - 1.0 / MOST_REMEMBERED)
            self.total *= fading
            self.quality *= float(fading)
        self.total += np.float32(weight) * embedding
        self.quality += weight
        self.count += 1
        self.due = time + min(FIRST_INTERVAL * self.count, LAST_INTERVAL)
        self.best = max(self.best, (weight, crop), key=lambda seen: seen[0])

    def picture(self) -> bytes | None:
        """The best crop as JPEG."""
        crop = self.best[1]
        return None if crop is None else cv2.imencode(".jpg", crop)[1].tobytes()


class Appearances:
    """The appearances of one camera's tracks."""

    def __init__(self, modality: Modality, embed: Embed, size: tuple[int, int]) -> None:
        """Take the engine's `embed` and its input size (H, W)."""
        self.modality = modality
        self.known: dict[int, Appearance] = {}
        """By track number, of the tracks embedded at least once."""
        self._embed = embed
        self._size = size

    def step(self, frame: NDArray[np.uint8], tracks: list[Track], time: float) -> set[int]:
        """Embed the tracks that are due and well visible in this frame; return the numbers of those."""
        due = [track for track in tracks if track.phase == "confirmed" and track.detected and self._is_due(track, time)]
        if not due:
            return set()
        visible = _visible_shares(tracks, frame.shape[:2])
        clear = [track for track in due if self._is_clear(track, visible[track.number], frame.shape)]
        chosen = sorted(clear, key=self._urgency)[:MOST_PER_STEP]
        if not chosen:
            return set()
        crops = np.stack([resize(_cut(frame, track), self._size) for track in chosen])
        for track, crop, embedding in zip(chosen, crops, self._embed(crops), strict=True):
            height = track.box[3] - track.box[1]
            if not np.isfinite(embedding).all():
                continue  # an engine that overflows must not make someone of nothing
            weight = min(1.0, float(height) / self._size[0]) * visible[track.number] * _sharpness(crop)
            appearance = self.known.setdefault(track.number, Appearance(np.zeros_like(embedding)))
            appearance.add(embedding, max(weight, LEAST_WEIGHT), crop, time)
        return {track.number for track in chosen if track.number in self.known}

    def forget(self, number: int) -> None:
        """Drop what is known of a track that ended."""
        self.known.pop(number, None)

    def _is_clear(self, track: Track, visible: float, shape: tuple[int, ...]) -> bool:
        height, width = shape[:2]
        left, top, right, bottom = (float(edge) for edge in track.box)
        whole = min(left, width - right) >= EDGE * width and min(top, height - bottom) >= EDGE * height
        return whole and visible >= 1.0 - MOST_OVERLAP and bottom - top >= LEAST_HEIGHT * self._size[0]

    def _is_due(self, track: Track, time: float) -> bool:
        appearance = self.known.get(track.number)
        return appearance is None or time >= appearance.due

    def _urgency(self, track: Track) -> tuple[int, float]:
        appearance = self.known.get(track.number)
        return (0, track.started) if appearance is None else (appearance.count, appearance.due)


def _visible_shares(tracks: list[Track], shape: tuple[int, ...]) -> dict[int, float]:
    """The share of each track's box that lies in the frame and under no other track's box (the worst other one)."""
    boxes = np.stack([track.box for track in tracks])
    frame = np.array([[0, 0, shape[1], shape[0]]], np.float32)
    covered = intersections(boxes, boxes)
    np.fill_diagonal(covered, 0.0)
    shares = (intersections(boxes, frame)[:, 0] - covered.max(axis=1)) / areas(boxes)
    return {track.number: float(share) for track, share in zip(tracks, shares, strict=True)}


def _cut(frame: NDArray[np.uint8], track: Track) -> NDArray[np.uint8]:
    left, top, right, bottom = np.maximum(np.rint(track.box), 0).astype(int)
    return frame[top:bottom, left:right]


def _sharpness(crop: NDArray[np.uint8]) -> float:
    """Above 0: the order of magnitude of the edges' strength. A blurred or noiseless crop counts less."""
    return float(np.log1p(cv2.Laplacian(crop, cv2.CV_16S).var()))
