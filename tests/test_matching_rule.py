from __future__ import annotations

import numpy as np

from edge_reid.bundle import Bundle
from edge_reid.matching_rule import center
from edge_reid.reference import bundle_path
from edge_reid.types import MODALITIES, Modality


def test_centering_subtracts_and_gives_unit_norm_again() -> None:
    vectors = np.array([[0.6, 0.8], [1.0, 0.0], [0.6, 0.0]], np.float32)
    centered = center(vectors, np.array([0.6, 0.0], np.float32))
    np.testing.assert_allclose(centered, [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]], atol=1e-6)
    assert centered.dtype == np.float32


def test_a_rule_centers_each_modality_by_its_own_mean() -> None:
    rule = Bundle.open(bundle_path()).manifest.matching
    assert rule is not None
    vectors = np.array([[0.6, 0.8]], np.float32)
    plain = rule.model_copy(update={"means": None})
    assert plain.centered(vectors, "visible") is vectors
    means: dict[Modality, list[float]] = {"visible": [0.6, 0.0], "thermal": [0.0, 0.8]}
    moved = rule.model_copy(update={"means": means})
    np.testing.assert_allclose(moved.centered(vectors, "visible"), [[0.0, 1.0]], atol=1e-6)
    np.testing.assert_allclose(moved.centered(vectors, "thermal"), [[1.0, 0.0]], atol=1e-6)
    assert moved.centered(vectors[:0], "thermal").shape == (0, 2)


def test_the_carried_bundle_has_a_rule_that_was_measured_on_people_enough() -> None:
    rule = Bundle.open(bundle_path()).manifest.matching
    assert rule is not None
    assert "synthetic" in rule.data
    assert rule.measured["between"].people >= 200
    assert set(rule.measured) == {"between", "across", *MODALITIES}
    for kind, measured in rule.measured.items():
        assert measured.false_accept_rate <= rule.false_accept_rate
        assert -1 < rule.thresholds(kind).unknown <= rule.thresholds(kind).accept < 1
    assert rule.thresholds("between").accept < rule.thresholds("across").accept, "a search is stricter"
    assert rule.thresholds("thermal") == rule.within["thermal"]
