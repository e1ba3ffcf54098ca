"""All recipes: a step of each, what is its own, and how numbers are changed."""

from __future__ import annotations

import pytest
import torch

from edge_reid import losses, recipes
from edge_reid.errors import UserError
from edge_reid.models.build import build_training_network
from edge_reid.models.output import People
from edge_reid.recipes.base import Recipe
from edge_reid.recipes.cscl import Cscl
from edge_reid.recipes.mmff_sd import MmffSd
from edge_reid.recipes.psfl import Psfl
from edge_reid.types import Json
from tests.steps import PEOPLE, step

TINY: dict[str, Json] = {"arch": "osnet", "width": 0.25, "size": [64, 32], "part_dim": 16, "semantic_parts": 5}
TINY |= {"attribute_weight": 1.0, "parsing_weight": 1.0}


def tiny(name: str, **numbers: Json) -> Recipe:
    return recipes.changed(recipes.get(name), TINY | numbers)


KNOWN = {"identity", "attributes", "parsing"}

OWN = {
    "sdm-mgim": {"center", "distillation"},
    "psfl": {"center", "alignment"},
    "cscl": {"center", "division", "mining"},
    "mmff-sd": {"triplet", "modal", "fused", "guidance"},
    "baseline": {"triplet"},
    "hctri": {"center"},
}


@pytest.mark.parametrize("name", recipes.names())
def test_a_late_step_has_the_terms_of_its_recipe_and_reaches_every_weight(name: str) -> None:
    recipe = tiny(name)
    network, output = step(recipe)
    total, terms = recipe.loss(output, 1.0)
    assert set(terms) == KNOWN | OWN[name]
    assert bool(total.isfinite())
    total.backward()
    untouched = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert untouched == []


@pytest.mark.parametrize("name", recipes.names())
@pytest.mark.parametrize("arch", ["osnet", "resnet50"])
def test_every_recipe_stands_on_either_trunk(name: str, arch: str) -> None:
    recipe = tiny(name, arch=arch, width=0.25 if arch == "osnet" else 1.0)
    with torch.device("meta"):
        network = build_training_network(recipe, PEOPLE)
    assert network.network.embedding_dim > 0


def test_the_other_readings_of_psfl() -> None:
    _, output = step(tiny("psfl"))
    told = (output.head.whole, output.targets.identities, output.targets.modalities)
    for reading, expected in (
        ("cluster", losses.center_alignment(*told, relation_weight=0.0)),
        ("contrast", losses.center_contrast(*told)),
    ):
        recipe = tiny("psfl", alignment=reading)
        found = recipe.loss(output, 1.0)[1]["alignment"]
        assert float(found.detach()) == pytest.approx(float(expected.detach()))
    assert "alignment" not in tiny("psfl", alignment="off").loss(output, 1.0)[1]
    alone = tiny("psfl", alignment="off", granularities=[])
    assert "center" in alone.loss(step(alone)[1], 1.0)[1], "a global feature that nothing aligns has a metric loss"


def test_cscl_without_labels_refuses_to_train() -> None:
    people = People(identities=3)
    with pytest.raises(UserError, match=r"cscl learns from part labels .* --parts, or pass --set labels=self"):
        build_training_network(tiny("cscl"), people)
    own = tiny("cscl", labels="self")
    _, output = step(own, people)
    assert float(own.loss(output, 1.0)[1]["parsing"].detach()) > 0
    off = tiny("cscl", labels="off")
    assert "parsing" not in off.loss(step(off, people)[1], 1.0)[1]


def test_division_waits_for_the_parsing_loss() -> None:
    recipe = tiny("cscl")
    _, output = step(recipe)
    assert "division" not in recipe.loss(output, 0.0)[1]
    assert "division" in recipe.loss(output, 0.06)[1]


def test_parts_that_are_not_seen_cost_nothing() -> None:
    recipe = tiny("cscl", whole=False)
    _, output = step(recipe)
    nothing = output._replace(head=output.head._replace(seen=torch.zeros_like(output.head.parts[..., 0])))
    assert float(recipe.loss(nothing, 0.0)[1]["identity"].detach()) == 0


def test_guidance_rises_from_nothing() -> None:
    recipe = tiny("mmff-sd")
    assert isinstance(recipe, MmffSd)
    _, output = step(recipe)
    assert "guidance" not in recipe.terms(output, 0.25)
    half = (recipe.guidance_from + recipe.guidance_full) / 2
    assert recipe.terms(output, half)["guidance"][0] == pytest.approx(0.5)
    assert recipe.terms(output, 1.0)["guidance"][0] == 1


@pytest.mark.parametrize("numbers", [{"fusion": "off"}, {"memory": "off"}, {"fusion": "off", "memory": "off"}])
def test_mmff_sd_does_without_either_teacher(numbers: dict[str, Json]) -> None:
    recipe = tiny("mmff-sd", **numbers)
    network, output = step(recipe)
    terms = recipe.loss(output, 1.0)[1]
    assert ("fused" in terms) is ("fusion" not in numbers)
    assert ("guidance" in terms) is (len(numbers) < 2)
    assert {name for name, _ in network.named_children()} >= {"fusion", "memory"} - set(numbers)


def test_the_two_metrics_of_parts_add_up() -> None:
    _, output = step(tiny("hctri"))
    each, joined, both = (
        float(tiny("hctri", metric_of_parts=kind).loss(output, 1.0)[1]["center"].detach())
        for kind in ("each", "joined", "both")
    )
    assert both == pytest.approx(each + joined)


def test_texts_become_the_numbers_that_they_stand_for() -> None:
    texts: dict[str, Json] = {"granularities": "2,4", "alignment_weight": "0.25", "balanced": "true", "share_from": "3"}
    recipe = recipes.changed(Psfl(), texts | {"arch": "osnet", "width": 0.5})
    assert isinstance(recipe, Psfl)
    assert (recipe.granularities, recipe.alignment_weight, recipe.balanced) == ((2, 4), 0.25, True)
    assert (recipe.width, recipe.share_from) == (0.5, 3)
    assert recipes.changed(recipe, {"granularities": ""}).granularities == ()


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"wings": "2"}, "wings: recipe cscl has no such number; see `edge-reid recipes`"),
        ({"labels": "guess"}, r"labels 'guess': input should be 'data', 'self' or 'off'"),
        ({"part_dim": "many"}, r"part_dim 'many': input should be a valid integer"),
        ({"attention_after": "0"}, r"attention_after \(0,\): needs shared stages, 1 to 4"),
        ({"part_dim": "0"}, "part_dim 0: needs 1 or more"),
        ({"semantic_parts": "1"}, "semantic_parts 1: two or more"),
        ({"width": "0.5"}, r"width 0\.5: ResNet-50 has one width; add --arch osnet"),
        ({"clip": "-1"}, r"smoothing 0\.0, clip -1\.0: from 0 below 1, and above 0"),
        ({"whole": "false", "semantic_head": "false"}, "whole False: .*nothing is left to embed"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_numbers_that_a_recipe_cannot_have_are_refused_by_name(numbers: dict[str, Json], message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        recipes.changed(Cscl(), numbers)


@pytest.mark.parametrize("name", recipes.names())
def test_the_numbers_of_every_recipe_survive_json(name: str) -> None:
    recipe = tiny(name)
    assert recipes.from_json(name, recipe.as_json()) == recipe
