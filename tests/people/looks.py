"""How people look to a network that is neither blind nor perfect."""

from __future__ import annotations

import numpy as np

from edge_reid.matching_rule import MatchingRule, Thresholds

DIMENSIONS = 32


def person(identity: int, view: int = 0, distance: float = 0.3) -> np.ndarray:
    """A unit vector near that of `identity`; views of one person have a cosine of about 1 - distance."""
    own = np.random.default_rng([1, identity]).normal(size=DIMENSIONS)
    other = np.random.default_rng([2, identity, view]).normal(size=DIMENSIONS)
    vector = own / np.linalg.norm(own) + np.sqrt(distance) * other / np.linalg.norm(other)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def rule_of(
    between: tuple[float, float] = (0.5, 0.3),
    across: tuple[float, float] = (0.5, 0.3),
    within: tuple[float, float] = (0.5, 0.3),
    margin: float = 0.05,
) -> MatchingRule:
    """A rule of these (accept, unknown) thresholds."""
    own = Thresholds(accept=within[0], unknown=within[1])
    return MatchingRule(
        between=Thresholds(accept=between[0], unknown=between[1]),
        across=Thresholds(accept=across[0], unknown=across[1]),
        within={"visible": own, "thermal": own}, margin=margin, means=None, means_gain=(0.0, 0.0), crops=1,
        false_accept_rate=0.01, people=10, measured={}, engines={"visible": "-", "thermal": "-"}, data="-", date="-",
    )  # fmt: skip
