"""Recipes: the numbers of a network and of its training in one frozen dataclass, with the loss that they weigh."""

from __future__ import annotations

from edge_reid.errors import UserError
from edge_reid.recipes.sdm_mgim import SdmMgim
from edge_reid.types import Json

_RECIPES = {"sdm-mgim": SdmMgim}


def names() -> list[str]:
    """The recipes there are."""
    return list(_RECIPES)


def get(name: str) -> SdmMgim:
    """A recipe with its default numbers; change some with `dataclasses.replace`.

    Raises:
        UserError: no recipe has this name.
    """
    return _class(name)()


def from_json(name: str, numbers: dict[str, Json]) -> SdmMgim:
    """The recipe whose `as_json` a checkpoint holds.

    Raises:
        UserError: no recipe has this name, or it knows no such number.
    """
    return _class(name).from_json(numbers)


def name_of(recipe: SdmMgim) -> str:
    """The name by which `get` finds a recipe of this kind."""
    return next(name for name, kind in _RECIPES.items() if kind is type(recipe))


def _class(name: str) -> type[SdmMgim]:
    if name not in _RECIPES:
        raise UserError(f"recipe {name!r} does not exist; choose one of: {', '.join(names())}")
    return _RECIPES[name]
