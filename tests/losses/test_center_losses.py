"""Losses of pictures, centres, parts and teachers against plain loops in double precision."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_reid.losses import (
    Teacher,
    Weighing,
    center_alignment,
    center_contrast,
    division,
    guidance,
    hard_triplet,
    identity_center_mining,
    identity_cross_entropy,
    teacher_weights,
    weighted_triplet,
)

Floats = NDArray[np.float64]

IDENTITIES = torch.tensor([4, 9, 2, 7]).repeat_interleave(3).repeat(2)
MODALITIES = torch.arange(2).repeat_interleave(12)


def batch(scale: float = 1.0, seed: int = 3) -> Tensor:
    """24 rows: 4 identities, 3 visible and 3 thermal pictures of each."""
    torch.manual_seed(seed)
    return scale * torch.randn(24, 5)


def unit(rows: Floats) -> Floats:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def centres(rows: Floats) -> dict[tuple[int, int], Floats]:
    picked = [(int(i), m) for i in IDENTITIES.unique() for m in (0, 1)]
    return {(i, m): rows[((i == IDENTITIES) & (m == MODALITIES)).numpy()].mean(0) for i, m in picked}


def brute_hard(features: Tensor, margin: float) -> float:
    rows, total = features.double().tolist(), 0.0
    for a, anchor in enumerate(rows):
        apart = [math.dist(anchor, other) for other in rows]
        positive = max(d for d, i in zip(apart, IDENTITIES, strict=True) if i == IDENTITIES[a])
        negative = min(d for d, i in zip(apart, IDENTITIES, strict=True) if i != IDENTITIES[a])
        total += max(0.0, margin + positive - negative)
    return total / len(rows)


def brute_weighted(features: Tensor) -> float:
    rows, total = features.double().tolist(), 0.0
    for a, anchor in enumerate(rows):
        apart = [math.dist(anchor, other) for other in rows]
        positives = [d for d, i in zip(apart, IDENTITIES, strict=True) if i == IDENTITIES[a]]
        negatives = [d for d, i in zip(apart, IDENTITIES, strict=True) if i != IDENTITIES[a]]
        up = [math.exp(d - max(positives)) for d in positives]
        down = [math.exp(min(negatives) - d) for d in negatives]
        positive = sum(w * d for w, d in zip(up, positives, strict=True)) / sum(up)
        negative = sum(w * d for w, d in zip(down, negatives, strict=True)) / sum(down)
        total += math.log1p(math.exp(positive - negative))
    return total / len(rows)


def brute_alignment(features: Tensor, relation_weight: float, temperature: float) -> float:
    rows = unit(features.double().numpy())
    middle = centres(rows)
    names = sorted({i for i, _ in middle})
    pulled = [row - (middle[int(i), 0] + middle[int(i), 1]) / 2 for row, i in zip(rows, IDENTITIES, strict=True)]
    cluster = np.mean([p @ p for p in pulled])
    cluster += np.mean([np.sum((middle[i, 0] - middle[i, 1]) ** 2) for i in names])
    relation = 0.0
    for i in names:
        likeness = []
        for m in (0, 1):
            scores = np.array([unit(middle[i, m]) @ unit(middle[j, m]) / temperature for j in names if j != i])
            likeness.append(np.exp(scores) / np.exp(scores).sum())
        first, second = likeness
        relation += 0.5 * np.sum(first * np.log(first / second) + second * np.log(second / first)) / len(names)
    return float(cluster + relation_weight * relation)


def brute_contrast(features: Tensor, temperature: float) -> float:
    rows = unit(features.double().numpy())
    middle = centres(rows)
    names = sorted({i for i, _ in middle})
    total = 0.0
    for row, identity, modality in zip(rows, IDENTITIES.tolist(), MODALITIES.tolist(), strict=True):
        scores = np.exp([row @ middle[i, 1 - modality] / temperature for i in names])
        total -= math.log(scores[names.index(identity)] / scores.sum())
    return total / len(rows)


def brute_mining(features: Tensor, temperature: float) -> float:
    middle = centres(unit(features.double().numpy()))
    gaps = np.array([np.sum((middle[i, 0] - middle[i, 1]) ** 2) for i in sorted({i for i, _ in middle})])
    weights = np.exp(gaps / temperature)
    return float((weights / weights.sum() * gaps).sum())


def brute_division(parts: Tensor) -> float:
    costs = []
    for picture in parts.double().flatten(2).numpy():
        for a in range(len(picture)):
            costs += [max(0.0, float(unit(picture[a]) @ unit(picture[b]))) for b in range(a + 1, len(picture))]
    return float(np.mean(costs))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("margin", [0.3, 5.0])
def test_hard_triplet_equals_the_loop(seed: int, margin: float) -> None:
    assert float(hard_triplet(batch(seed=seed), IDENTITIES, margin)) == pytest.approx(
        brute_hard(batch(seed=seed), margin), abs=1e-5
    )


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_weighted_triplet_equals_the_loop_at_any_distance(scale: float) -> None:
    expected = brute_weighted(batch(scale))
    assert float(weighted_triplet(batch(scale), IDENTITIES)) == pytest.approx(expected, abs=1e-5, rel=1e-5)


def test_the_published_weighted_triplet_agrees_nearby_and_forgets_the_negatives_far_away() -> None:
    near, far = batch(), batch(30.0)
    assert float(weighted_triplet(near, IDENTITIES, as_published=True)) == pytest.approx(
        float(weighted_triplet(near, IDENTITIES)), abs=1e-3
    )
    forgotten, kept = weighted_triplet(far, IDENTITIES, as_published=True), weighted_triplet(far, IDENTITIES)
    assert float(forgotten) > float(kept) + 10


@pytest.mark.parametrize("relation_weight", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("seed", range(3))
def test_center_alignment_equals_the_loop(relation_weight: float, seed: int) -> None:
    features = batch(seed=seed)
    value = center_alignment(features, IDENTITIES, MODALITIES, relation_weight=relation_weight)
    assert float(value) == pytest.approx(brute_alignment(features, relation_weight, 0.1), abs=1e-5, rel=1e-5)


def test_center_contrast_equals_the_loop() -> None:
    assert float(center_contrast(batch(), IDENTITIES, MODALITIES, 0.2)) == pytest.approx(
        brute_contrast(batch(), 0.2), abs=1e-5
    )


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_identity_center_mining_equals_the_loop(temperature: float) -> None:
    value = identity_center_mining(batch(), IDENTITIES, MODALITIES, temperature)
    assert float(value) == pytest.approx(brute_mining(batch(), temperature), abs=1e-5)


def test_mining_looks_at_the_widest_gap() -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.6, 0.8]])
    identities, modalities = torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1])
    gap = 0.6**2 + 0.2**2  # of identity 1; identity 0 has none
    assert float(identity_center_mining(features, identities, modalities, 1e-3)) == pytest.approx(gap, abs=1e-6)


@pytest.mark.parametrize("shape", [(3, 4, 6, 2), (3, 4, 7)], ids=["masks", "features"])
def test_division_equals_the_loop(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    parts = torch.randn(shape) if len(shape) == 3 else torch.randn(shape).softmax(1)
    assert float(division(parts)) == pytest.approx(brute_division(parts), abs=1e-5)


def test_division_is_zero_for_crisp_masks_and_one_for_flat_ones() -> None:
    crisp = torch.eye(4).reshape(1, 4, 4, 1)
    assert float(division(crisp)) == 0
    assert float(division(torch.full((2, 3, 4, 4), 1 / 3))) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("loss", [center_alignment, identity_center_mining], ids=["alignment", "mining"])
def test_features_that_agree_perfectly_cost_nothing(loss: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    features = torch.randn(10, 5)[IDENTITIES]
    assert float(loss(features, IDENTITIES, MODALITIES)) == pytest.approx(0, abs=1e-6)


def teachers(seed: int = 0) -> tuple[Tensor, Tensor, list[Teacher], Tensor]:
    torch.manual_seed(seed)
    identities = torch.randint(0, 4, (6,))
    says = [
        Teacher(torch.randn(6, 4) + 3 * torch.eye(4)[identities], torch.randn(6, 3), torch.arange(6) % k > 0)
        for k in (7, 2)
    ]
    return torch.randn(6, 4), torch.randn(6, 3), says, identities


def softmax(values: Floats) -> Floats:
    return np.exp(values) / np.exp(values).sum()


@pytest.mark.parametrize("weighing", ["ratio", "entropy", "gap", "fixed"])
@pytest.mark.parametrize("seed", range(3))
def test_guidance_equals_the_loop(weighing: Weighing, seed: int) -> None:
    logits, feature, says, identities = teachers(seed)
    total = 0.0
    for b in range(6):
        truth, known = int(identities[b]), [softmax(t.logits[b].double().numpy()) for t in says]
        own = softmax(logits[b].double().numpy())
        strength = {
            "ratio": [p[truth] for p in known],
            "entropy": [-(p * np.log(p)).sum() for p in known],
            "fixed": [1.0, 1.0],
            "gap": [1 - math.exp(-max(0.0, math.log(p[truth]) - math.log(own[truth]))) for p in known],
        }[weighing]
        valid = [bool(t.valid[b]) for t in says]
        sum_of = 1.0 if weighing == "gap" else sum(s for s, v in zip(strength, valid, strict=True) if v)
        for t, p, s, v in zip(says, known, strength, valid, strict=True):
            if not v or p.argmax() != truth:
                continue
            target, said = softmax(t.logits[b].double().numpy() / 3), softmax(logits[b].double().numpy() / 3)
            divergence = 9 * (target * np.log(target / said)).sum()
            a, c = feature[b].double().numpy(), t.feature[b].double().numpy()
            total += s / sum_of * (divergence + 1 - unit(a) @ unit(c))
    value = guidance(logits, feature, says, identities, temperature=3.0, weighing=weighing)
    assert float(value) == pytest.approx(total / 6, abs=1e-5)


def test_ratio_weights_of_valid_teachers_that_are_right_add_up_to_one() -> None:
    logits, _, says, identities = teachers()
    right = [
        Teacher(20 * torch.eye(4)[identities] * (1 + k), t.feature, torch.ones(6, dtype=torch.bool))
        for k, t in enumerate(says)
    ]
    assert teacher_weights(logits, right, identities, "ratio").sum(1) == pytest.approx(torch.ones(6), abs=1e-6)


def test_teachers_get_no_gradient() -> None:
    logits, feature, says, identities = teachers()
    leaves = [t._replace(logits=t.logits.requires_grad_(), feature=t.feature.requires_grad_()) for t in says]
    guidance(logits.requires_grad_(), feature.requires_grad_(), leaves, identities).backward()
    assert logits.grad is not None
    assert all(t.logits.grad is None and t.feature.grad is None for t in leaves)


def test_weights_of_a_cross_entropy_choose_its_features() -> None:
    torch.manual_seed(0)
    logits, identities = torch.randn(4, 3, 6), torch.tensor([0, 5, 2, 2])
    chosen = torch.tensor([[1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1.0]])
    pairs = torch.stack([logits[0, 0], logits[3, 2]])
    expected = identity_cross_entropy(pairs, identities[[0, 3]], 0.1)
    assert float(identity_cross_entropy(logits, identities, 0.1, weights=chosen)) == pytest.approx(float(expected))
    assert float(identity_cross_entropy(logits, identities, weights=torch.zeros(4, 3))) == 0
