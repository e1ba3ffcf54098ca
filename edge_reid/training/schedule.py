"""The learning rate over a run: a linear warm-up, then a cosine to a hundredth of the peak, or two steps."""

from __future__ import annotations

import math

FLOOR = 0.01


def warm_cosine(progress: float, warm_up: float) -> float:
    """The factor of the peak rate after a share `progress` (0..1) of the training, the first `warm_up` of it rising."""
    if progress < warm_up:
        return max(progress / warm_up, 1e-3)
    turn = math.pi * min(1.0, (progress - warm_up) / max(1e-9, 1 - warm_up))
    return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(turn))


def warm_steps(progress: float, warm_up: float, drops: tuple[float, float]) -> float:
    """The same with steps, not a cosine: a tenth of the peak after the first share of `drops`, then a hundredth."""
    if progress < warm_up:
        return max(progress / warm_up, 1e-3)
    return float(0.1 ** sum(progress >= drop for drop in drops))
