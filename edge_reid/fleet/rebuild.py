"""New vectors of old people after a change of the model, from the pictures that galleries have kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from psycopg import Connection

from edge_reid.fleet import statements as sql
from edge_reid.types import MODALITIES, Embed, Modality

MOST = 64
"""Pictures at a time, in one transaction."""


@dataclass(frozen=True)
class Rebuilt:
    """What was done, and what could not be."""

    done: int
    unreadable: int
    """Pictures that are none."""
    without_picture: int
    """Prototypes that only the old model knows: their galleries keep no pictures."""


def rebuild(connection: Connection[Any], space: int, embed: Mapping[Modality, Embed]) -> Rebuilt:
    """Give every prototype of another model one of this, beside the old.

    Stopped at any moment it goes on where it was: what is done is done. Several may run at once.

    Args:
        connection: of an operator.
        space: number of the new model in the fleet.
        embed: the new networks by modality, crops to unit vectors.
    """
    done = unreadable = 0
    last: dict[str, object] = {"site": "", "gallery": "", "prototype": -1}
    while True:
        rows = connection.execute(sql.TO_REBUILD, last | {"space": space, "most": MOST}).fetchall()
        if not rows:
            break
        for modality in MODALITIES:
            own = [row for row in rows if row[4] == modality]
            crops = [_picture(row[5], colour=modality == "visible") for row in own]
            whole = [(row, crop) for row, crop in zip(own, crops, strict=True) if crop is not None]
            unreadable += len(own) - len(whole)
            if not whole:
                continue
            vectors = embed[modality](np.stack([crop for _, crop in whole]))
            keys = [dict(zip(("site", "gallery", "prototype", "old"), row, strict=False)) for row, _ in whole]
            with connection.transaction(), connection.cursor() as cursor:
                new = [key | {"space": space, "vector": vector} for key, vector in zip(keys, vectors, strict=True)]
                cursor.executemany(sql.PUT_REBUILT, new)
            done += len(whole)
        last = dict(zip(("site", "gallery", "prototype"), rows[-1][:3], strict=True))
    row = connection.execute(sql.WITHOUT_PICTURE, {"space": space}).fetchone()
    return Rebuilt(done, unreadable, int(row[0]) if row else 0)


def _picture(stored: bytes, *, colour: bool) -> np.ndarray[Any, np.dtype[np.uint8]] | None:
    flag = cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE
    picture = cv2.imdecode(np.frombuffer(stored, np.uint8), flag)
    return None if picture is None else np.asarray(picture, np.uint8)
