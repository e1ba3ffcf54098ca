"""The learning rate over a run: a linear warm-up, then a cosine to a hundredth of the peak, or two steps."""

from __future__ import annotations

import math

FLOOR = 0.01

STEPS = ((0.25, 1.0), (0.625, 0.1), (1.0, 0.01))
"""Until which share of the training which factor holds: AGW's 20 and 50 of 80 epochs."""


def warm_cosine(progress: float, warm_up: float) -> float:
    """The factor of the peak rate after a share `progress` (0..1) of the training, the first `warm_up` of it rising."""
    if progress < warm_up:
        return max(progress / warm_up, 1e-3)
    turn = math.pi * min(1.0, (progress - warm_up) / max(1e-9, 1 - warm_up))
    return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(turn))


def warm_steps(progress: float, warm_up: float) -> float:
    """The same with AGW's two steps instead of the cosine."""
    if progress < warm_up:
        return max(progress / warm_up, 1e-3)
    return next((factor for until, factor in STEPS if progress < until), FLOOR)
