"""Walkers on film, in both modalities, and a network that tells them apart."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from looks import rule_of
from numpy.typing import NDArray

from edge_reid.cameras.sources import Frame
from edge_reid.live.networks import Networks
from edge_reid.types import MODALITIES, Modality

SHADES = (170, 205, 240)
"""Blue in the visible view and heat in the thermal view: each walker's own."""

RATE = 10.0


class Film:
    """Three people cross two views of 320 x 240, one after the other, at different distances."""

    frames = 60

    def box(self, person: int, index: int, modality: Modality) -> tuple[int, int, int, int] | None:
        step = index - 8 - 6 * person
        if step < 0 or step > 44:
            return None
        height = (80, 70, 60)[person]
        left = -20 + 7 * step + (0 if modality == "visible" else 10)
        top = (10, 95, 170)[person]
        return left, top, left + height // 2, top + height

    def image(self, index: int, modality: Modality) -> NDArray[np.uint8]:
        rng = np.random.default_rng([index, MODALITIES.index(modality)])
        picture = np.full((240, 320, 3), 90, np.float64)
        for person, shade in enumerate(SHADES):
            if (box := self.box(person, index, modality)) is not None:
                left, top, right, bottom = box
                center, axes = ((left + right) // 2, (top + bottom) // 2), ((right - left) // 2, (bottom - top) // 2)
                color = (shade, 30, 200) if modality == "visible" else (shade,) * 3
                cv2.ellipse(picture, center, axes, 0, 0, 360, color, -1)
        noisy = np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8)
        return noisy if modality == "visible" else noisy[:, :, 0]

    def frame(self, index: int, modality: Modality) -> Frame:
        return Frame(self.image(index, modality), index / RATE, index)


def embed(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Unit vectors `(N, 3)`: which of the walkers the middle of a crop shows."""
    blue = crops[..., 0] if crops.ndim == 4 else crops
    middle = blue[:, 12:20, 6:10].astype(np.float64).mean(axis=(1, 2))
    vectors = np.exp(-((middle[:, None] - np.array(SHADES)) ** 2) / 200.0)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def networks() -> Networks:
    """That network for both modalities, with a rule that fits it."""
    rule = rule_of(between=(0.5, 0.3), across=(0.5, 0.3))
    return Networks(
        dict.fromkeys(MODALITIES, embed),
        (32, 16),
        3,
        rule,
        "walkers",
        dict.fromkeys(MODALITIES, "walkers"),
        dict.fromkeys(MODALITIES, "a test"),
    )


def write_films(folder: Path) -> None:
    """Leave `visible.avi` and `thermal.avi` in a folder: three walkers for six seconds."""
    film = Film()
    for modality in MODALITIES:
        code = cv2.VideoWriter.fourcc(*"MJPG")
        writer = cv2.VideoWriter(str(folder / f"{modality}.avi"), cv2.CAP_FFMPEG, code, RATE, (320, 240))
        for index in range(film.frames):
            image = film.image(index, modality)
            writer.write(image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
        writer.release()
