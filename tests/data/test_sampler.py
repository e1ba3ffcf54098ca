"""Steps of as many visible as thermal pictures of the same people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_reid.data.sampler import CrossModalitySampler, build_sampler
from edge_reid.errors import UserError
from edge_reid.types import Modality, Sample

VISIBLE, THERMAL, LONELY = 3, 2, 99


def samples(identities: int) -> list[Sample]:
    counts: tuple[tuple[Modality, int], ...] = (("visible", VISIBLE), ("thermal", THERMAL))
    found = [
        Sample(Path(f"{modality}/{identity}/{k}"), 10 * identity, 1, modality)
        for modality, count in counts
        for identity in range(identities)
        for k in range(count)
    ]
    return [*found, Sample(Path("seen by one kind of camera"), LONELY, 1, "visible")]


def sampler(identities: int = 7, steps: int | None = 9, seed: int = 0) -> CrossModalitySampler:
    return build_sampler(
        samples(identities), identities_per_step=3, pictures_per_identity=2, steps_per_epoch=steps, seed=seed
    )


def test_both_halves_of_a_step_show_the_same_people_row_by_row() -> None:
    pictures = samples(7)
    plan = sampler().plan(0)
    assert plan.shape == (9, 2, 6)
    for visible, thermal in plan:
        assert {pictures[i].modality for i in visible} == {"visible"}
        assert {pictures[i].modality for i in thermal} == {"thermal"}
        people = [pictures[i].identity for i in visible]
        assert people == [pictures[i].identity for i in thermal]
        assert people[0::2] == people[1::2]
        assert len(set(people)) == 3
        assert len(set(visible)) == 6, "a person with enough pictures shows no picture twice"
        assert LONELY not in people


def test_everyone_is_drawn_before_anyone_is_drawn_again() -> None:
    pictures = samples(6)
    plan = sampler(identities=6).plan(0)
    for first, second in zip(plan[0::2], plan[1::2], strict=False):
        people = {pictures[i].identity for i in np.concatenate([first[0], second[0]])}
        assert len(people) == 6


def test_someone_with_too_few_pictures_repeats_them() -> None:
    pictures = samples(4)
    wide = build_sampler(pictures, identities_per_step=2, pictures_per_identity=5, steps_per_epoch=1, seed=0)
    _, thermal = wide.plan(0)[0]
    assert len(thermal) == 10
    assert len(set(thermal[:5])) == THERMAL


def test_a_plan_depends_on_seed_and_epoch_only() -> None:
    assert np.array_equal(sampler().plan(3), sampler().plan(3))
    assert not np.array_equal(sampler().plan(3), sampler().plan(4))
    assert not np.array_equal(sampler().plan(3), sampler(seed=1).plan(3))


def test_an_epoch_draws_as_many_pictures_as_the_larger_modality_has() -> None:
    assert sampler(steps=None).steps_per_epoch == 7 * VISIBLE // 6


def test_too_few_people_for_a_step_are_refused() -> None:
    with pytest.raises(UserError, match="2 training identities have visible and thermal pictures, a step needs 3"):
        sampler(identities=2)
