"""Recipes: the numbers of a network and of its training in one frozen dataclass, with the loss that they weigh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import TypeAdapter, ValidationError

from edge_reid.errors import UserError
from edge_reid.recipes.base import Recipe
from edge_reid.recipes.controls import Baseline, HcTri
from edge_reid.recipes.cscl import Cscl
from edge_reid.recipes.mmff_sd import MmffSd
from edge_reid.recipes.psfl import Psfl
from edge_reid.recipes.sdm_mgim import SdmMgim
from edge_reid.types import Json

_RECIPES: dict[str, type[Recipe]] = {
    "sdm-mgim": SdmMgim,
    "psfl": Psfl,
    "cscl": Cscl,
    "mmff-sd": MmffSd,
    "baseline": Baseline,
    "hctri": HcTri,
}


def names() -> list[str]:
    """The recipes there are."""
    return list(_RECIPES)


def get(name: str) -> Recipe:
    """A recipe with its default numbers; change some with `dataclasses.replace`.

    Raises:
        UserError: no recipe has this name.
    """
    return _class(name)()


def from_json(name: str, numbers: dict[str, Json]) -> Recipe:
    """The recipe whose `as_json` a checkpoint holds.

    Raises:
        UserError: no recipe has this name, or it knows no such number.
    """
    return _class(name).from_json(numbers)


def suited(recipe: Recipe, *, drawn: bool) -> Recipe:
    """The recipe for drawn people or for real ones: gain, grey and polarity make up for what drawn people lack."""
    return replace(recipe, augment="erasing") if recipe.augment == "synthetic" and not drawn else recipe


def changed(recipe: Recipe, numbers: Mapping[str, Json]) -> Recipe:
    """The recipe with some numbers changed; texts become numbers where the recipe has numbers, "2,3" a list.

    Raises:
        UserError: it has no such number, or the value is none that it can have.
    """
    known = recipe.as_json()
    given = dict(numbers)
    for name, value in given.items():
        if name not in known:
            raise UserError(f"{name}: recipe {name_of(recipe)} has no such number; see `edge-reid recipes`")
        if isinstance(known[name], list) and isinstance(value, str):
            given[name] = [word for word in value.split(",") if word]
    try:
        return TypeAdapter(type(recipe)).validate_python(known | given)
    except ValidationError as error:
        first = error.errors()[0]
        if isinstance(refused := first.get("ctx", {}).get("error"), UserError):
            raise refused from error  # it has said all itself
        name = str(first["loc"][0]) if first["loc"] else "numbers"
        raise UserError(f"{name} {given.get(name)!r}: {first['msg'][:1].lower()}{first['msg'][1:]}") from error


def assignments(words: Sequence[str]) -> dict[str, Json]:
    """What "NAME=VALUE" texts say, for `changed`.

    Raises:
        UserError: one is not of this form.
    """
    pairs = [word.partition("=") for word in words]
    for word, (_, found, _) in zip(words, pairs, strict=True):
        if not found:
            raise UserError(f"--set {word}: write NAME=VALUE")
    return {name: value for name, _, value in pairs}


def name_of(recipe: Recipe) -> str:
    """The name by which `get` finds a recipe of this kind."""
    return next(name for name, kind in _RECIPES.items() if kind is type(recipe))


def _class(name: str) -> type[Recipe]:
    if name not in _RECIPES:
        raise UserError(f"recipe {name!r} does not exist; choose one of: {', '.join(names())}")
    return _RECIPES[name]
