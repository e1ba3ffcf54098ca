"""Division: parts of one picture must not be the same part. Shapes: B rows, K parts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def division(parts: Tensor) -> Tensor:
    """Mean over pictures and pairs of parts of the positive part of their cosine; 0 where none overlap.

    On masks that add up to one at each pixel it asks for confidence: it is near 1 for flat masks, whose gradient is
    almost nothing, and 0 for crisp ones, so something else (the parsing loss) has to start the division.

    Args:
        parts: `(B, K, ...)`, K >= 2: masks `(B, K, h, w)` or features `(B, K, D)`.
    """
    rows = F.normalize(parts.float().flatten(2), dim=2)
    cosines = (rows @ rows.transpose(1, 2)).clamp(min=0)
    pairs = torch.ones_like(cosines[0], dtype=torch.bool).triu(1)
    return cosines[:, pairs].mean()
