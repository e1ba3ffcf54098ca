"""A ranking in pictures: who was searched, and who was found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.data.search import Search
from edge_reid.evaluation.protocols import EmbedSamples
from edge_reid.files import atomic_file
from edge_reid.preprocess import read_crop
from edge_reid.types import Sample

PAPER, INK, RIGHT, WRONG = (250, 250, 250), (51, 39, 29), (80, 160, 40), (50, 50, 210)
CELL = (176, 88)
FRAME = 4


def ranking_sheet(
    path: Path, searches: Sequence[Search], embed: EmbedSamples, *, queries: int = 5, top: int = 10, seed: int = 0
) -> None:
    """Write a PNG: for each search some queries, one a row, with their `top` nearest pictures in the first gallery.

    Right ones are framed green, wrong ones red. The queries are drawn at random, not chosen.
    """
    rows = []
    for search in searches:
        trial = search.trials[0]
        chosen = np.random.default_rng(seed).permutation(trial.queries)[:queries]
        asked, gallery = [search.query[row] for row in chosen], [search.pool[row] for row in trial.gallery]
        similarity = embed(asked) @ embed(gallery).T
        rows.append(_caption(search.direction, top))
        for who, scores in zip(asked, similarity, strict=True):
            best = np.argsort(-scores, kind="stable")[:top]
            found = [_cell(gallery[i], who.identity, f"{scores[i]:.2f}") for i in best]
            found += [np.full_like(found[0], PAPER[0])] * (top - len(found))
            gap = np.full((found[0].shape[0], 14, 3), PAPER[0], np.uint8)
            rows.append(np.hstack([_cell(who, None, "query"), gap, *found]))
    done, encoded = cv2.imencode(".png", np.vstack(rows))
    if not done:
        raise RuntimeError(f"{path}: OpenCV could not encode the sheet")
    with atomic_file(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def _cell(sample: Sample, searched: int | None, label: str) -> NDArray[np.uint8]:
    crop = read_crop(sample.path, sample.modality, CELL)
    color = crop if crop.ndim == 3 else cv2.cvtColor(crop, cv2.COLOR_GRAY2BGR)
    frame = INK if searched is None else RIGHT if sample.identity == searched else WRONG
    framed = cv2.copyMakeBorder(color, FRAME, FRAME, FRAME, FRAME, cv2.BORDER_CONSTANT, value=frame)
    padded = cv2.copyMakeBorder(framed, 4, 20, 4, 4, cv2.BORDER_CONSTANT, value=PAPER)
    place = (8, padded.shape[0] - 6)
    cv2.putText(padded, label, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, INK, 1, cv2.LINE_AA)
    return np.asarray(padded, dtype=np.uint8)


def _caption(text: str, top: int) -> NDArray[np.uint8]:
    strip = np.full((34, (top + 1) * (CELL[1] + 2 * FRAME + 8) + 14, 3), PAPER[0], np.uint8)
    cv2.putText(strip, text, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, INK, 1, cv2.LINE_AA)
    return strip
