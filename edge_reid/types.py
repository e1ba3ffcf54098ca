"""The nouns that every part shares. No torch here: a device imports this file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

Modality = Literal["visible", "thermal"]

MODALITIES: tuple[Modality, ...] = get_args(Modality)
"""In tensors a modality is its index here: 0 = visible, 1 = thermal."""


@dataclass(frozen=True)
class Sample:
    """One picture of one person: where it lies, who it is, which camera took it and what that camera sees."""

    path: Path
    identity: int
    camera: int
    modality: Modality


MOST_LOST = 0.5
"""Percentage points of rank-1 or mAP that fewer bits may cost in either direction, unless somebody says otherwise."""

IGNORE = 255
"""The label of a pixel that counts in no part: erased, unknown, or of a picture without a label map."""


def other_modality(modality: Modality) -> Modality:
    """The modality that a person is searched in."""
    return "thermal" if modality == "visible" else "visible"


Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
"""What a JSON file can hold: numbers of a recipe, provenance, machine-readable answers."""

Embed: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""An engine's `embed`: crops of one modality, uint8 `(N, H, W, 3)` BGR or `(N, H, W)`, to unit vectors `(N, D)`."""
