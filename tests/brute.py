"""The protocols' rules as loops, written from their texts: what the ranking is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_reid.evaluation import Rule


def brute(
    distances: NDArray[np.float64],
    q_ids: Sequence[int],
    g_ids: Sequence[int],
    q_cams: Sequence[int],
    g_cams: Sequence[int],
    rule: Rule,
) -> tuple[list[float], float, float, int]:
    """CMC at 20 ranks, mAP, mINP and the number of valid queries, one query at a time."""
    cmc, precisions, penalties = [0.0] * 20, [], []
    for q, row in enumerate(distances):
        seen = []
        for g in sorted(range(len(row)), key=lambda g: (row[g], g)):
            same_room = rule == "sysu" and q_cams[q] == 3 and g_cams[g] == 2
            itself = rule == "llcm" and q_ids[q] == g_ids[g] and q_cams[q] == g_cams[g]
            if not same_room and not itself:
                seen.append(g_ids[g])
        hits = [place for place, identity in enumerate(seen, start=1) if identity == q_ids[q]]
        if not hits:
            continue
        counted = seen if rule == "regdb" else list(dict.fromkeys(seen))
        for k in range(20):
            cmc[k] += q_ids[q] in counted[: k + 1]
        precisions.append(sum((n + 1) / place for n, place in enumerate(hits)) / len(hits))
        penalties.append(len(hits) / hits[-1])
    valid = len(precisions)
    return [value / valid for value in cmc], sum(precisions) / valid, sum(penalties) / valid, valid
