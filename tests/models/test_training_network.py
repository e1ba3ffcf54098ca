"""The network of a training step: what it answers, and what is built only when asked for."""

from __future__ import annotations

import torch

from edge_reid.models import build_training_network
from edge_reid.recipes.sdm_mgim import SdmMgim

SMALL = SdmMgim(width=0.25, granularities=(2, 4), part_dim=16, size=(64, 32))


def test_a_step_answers_for_both_modalities() -> None:
    network = build_training_network(SMALL, identities=5, attribute_sizes=(2, 3), parsing=True)
    output = network(torch.randn(4, 3, 64, 32), torch.randn(4, 3, 64, 32))
    assert output.logits.shape == (8, 5)
    assert output.part_logits.shape == (8, 6, 5)
    assert [tuple(feature.shape) for feature in output.student_features] == [(8, 128)] * 3
    assert [tuple(logits.shape) for logits in output.student_logits] == [(8, 5)] * 3
    assert [tuple(logits.shape) for logits in output.attribute_logits] == [(8, 2), (8, 3)]
    assert output.parsing_logits is not None
    assert output.parsing_logits.shape == (8, 6, 4, 2)


def test_heads_for_what_nobody_knows_are_not_built() -> None:
    network = build_training_network(SMALL, identities=5)
    output = network(torch.randn(2, 3, 64, 32), torch.randn(2, 3, 64, 32))
    assert output.attribute_logits == []
    assert output.parsing_logits is None


def test_the_students_are_as_light_as_specified() -> None:
    students = build_training_network(SdmMgim(), identities=2).students
    necks = 3 * 2 * 512
    assert round((sum(parameter.numel() for parameter in students.parameters()) - necks) / 1e6, 3) == 0.455
