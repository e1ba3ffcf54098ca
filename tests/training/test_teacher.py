"""A finished network that teaches another one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_reid import losses
from edge_reid.data.folder import FolderDataset
from edge_reid.errors import UserError
from edge_reid.training.checkpoint import load_state
from edge_reid.training.loop import train
from edge_reid.training.run import Plan, Start
from tests.training.small import RECIPE


def unit(rows: int, size: int, seed: int) -> torch.Tensor:
    values = torch.randn(rows, size, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(values, dim=1)


def test_distillation_is_what_a_loop_over_pictures_says() -> None:
    student, teacher = unit(5, 4, 0), unit(5, 4, 1)
    distance, ranking = losses.embedding_distillation(student, teacher, temperature=0.2)
    ours, theirs = student.double().numpy(), teacher.double().numpy()
    expected = np.mean([1 - a @ b for a, b in zip(ours, theirs, strict=True)])
    divergence = 0.0
    for row in range(5):
        others = [column for column in range(5) if column != row]
        p, q = (np.exp([each[row] @ each[column] / 0.2 for column in others]) for each in (theirs, ours))
        p, q = p / p.sum(), q / q.sum()
        divergence += float((p * np.log(p / q)).sum()) / 5
    assert float(distance) == pytest.approx(expected, abs=1e-6)
    assert float(ranking) == pytest.approx(divergence, abs=1e-5)


def test_distillation_is_order_free_and_nothing_to_learn_is_nothing() -> None:
    student, teacher = unit(6, 4, 0), unit(6, 8, 1)
    order = torch.randperm(6)
    distance, ranking = losses.embedding_distillation(student, teacher)
    assert float(distance) == 0, "embeddings of two sizes have no cosine"
    assert float(losses.embedding_distillation(student[order], teacher[order])[1]) == pytest.approx(
        float(ranking), rel=1e-5
    )
    assert [float(v) for v in losses.embedding_distillation(student, student)] == pytest.approx([0, 0], abs=1e-6)


def test_a_student_comes_nearer_to_its_teacher_and_keeps_it_when_resumed(
    tiny_checkpoint: Path, tiny_data: Path, tmp_path: Path
) -> None:
    data, plan = FolderDataset(tiny_data), Plan(epochs=4, steps_per_epoch=15)
    recipe = replace(RECIPE, granularities=(2, 3), shares=(1.0,), learning_rate=3e-3)
    begin = Start(teacher=tiny_checkpoint)

    def run(plan: Plan, begin: Start) -> list[float]:
        out = tmp_path / f"{begin.teacher is None}"
        train(data=data, out=out, recipe=recipe, plan=plan, begin=begin, device="cpu", workers=0)
        return [row["teacher"] for row in load_state(out / "last.pt").history if begin.teacher]

    distances = run(plan, begin)
    assert distances[-1] < 0.9 * distances[0]
    state = load_state(tmp_path / "False" / "last.pt")
    assert state.provenance["teacher"] == "last.pt"
    assert "noise" in state.provenance["learnt_before"]  # type: ignore[operator]
    with pytest.raises(UserError, match=r"begun with the teacher last\.pt, not None"):
        train(data=data, out=tmp_path / "False", recipe=recipe, plan=plan, begin=Start(), device="cpu", workers=0)
