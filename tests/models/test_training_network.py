"""The network of a training step: what it answers, and what is built only when asked for."""

from __future__ import annotations

from edge_reid.models import build_training_network
from edge_reid.models.output import People
from edge_reid.recipes.controls import HcTri
from edge_reid.recipes.sdm_mgim import SdmMgim
from tests.steps import step

SMALL = SdmMgim(width=0.25, granularities=(2, 4), part_dim=16, size=(64, 32))


def test_a_step_answers_for_both_modalities() -> None:
    _, output = step(SMALL)
    assert output.logits is not None
    assert output.part_logits is not None
    assert output.logits.shape == output.deepest_logits.shape == (8, 3)
    assert output.part_logits.shape == (8, 6, 3)
    students = output.extras["students"]
    assert (students.features.shape, students.logits.shape) == ((8, 3, 128), (8, 3, 3))
    assert [tuple(logits.shape) for logits in output.attribute_logits] == [(8, 2), (8, 3)]
    assert [tuple(logits.shape) for logits in output.parsing_logits] == [(8, 6, 4, 2)]


def test_heads_for_what_nobody_knows_are_not_built() -> None:
    _, output = step(SMALL, People(identities=3))
    assert (output.attribute_logits, output.parsing_logits) == ([], [])


def test_a_network_of_parts_only_answers_with_their_mean() -> None:
    _, output = step(HcTri(arch="osnet", width=0.25, size=(64, 32), part_dim=16))
    assert output.logits is None
    assert output.part_logits is not None
    assert output.deepest_logits.equal(output.part_logits.mean(1))


def test_the_students_are_as_light_as_specified() -> None:
    students = build_training_network(SdmMgim(), People(identities=2)).get_submodule("students")
    others = 3 * 2 * 512 + sum(p.numel() for p in students.get_submodule("classifiers").parameters())
    assert round((sum(parameter.numel() for parameter in students.parameters()) - others) / 1e6, 3) == 0.455
