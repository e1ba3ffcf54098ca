"""Pruning in steps: cut, let the unpruned network teach the pruned one, measure, cut again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from edge_reid import recipes
from edge_reid.charts import figure, svg
from edge_reid.data.sets import ReidData, is_synthetic
from edge_reid.errors import UserError
from edge_reid.files import atomic_file, sha256
from edge_reid.models.build import build_network
from edge_reid.models.narrow import narrowed_layers
from edge_reid.models.two_stream import TwoStream
from edge_reid.recipes.base import Recipe
from edge_reid.training.checkpoint import LoadedModel, Stored, load_model, write_stored
from edge_reid.training.evaluate import evaluate_checkpoint
from edge_reid.training.loop import train
from edge_reid.training.run import Plan, Start
from edge_reid_calibration.cut import cut, picture_macs


class Latency(Protocol):
    """Milliseconds of a crop, visible and thermal, as a network is deployed."""

    def __call__(self, network: TwoStream, size: tuple[int, int]) -> tuple[float, float]: ...


@dataclass(frozen=True, kw_only=True)
class Aim:
    """When a network is small enough, and how it gets there."""

    macs: float | None = 0.5
    """Share of the multiply-accumulates."""
    milliseconds: float | None = None
    """Of a crop, mean of both modalities, instead."""
    round_to: int = 8
    """Channels of a layer come in multiples of it."""
    steps: int = 3
    epochs: int = 4
    """Of fine-tuning after each step."""
    steps_per_epoch: int | None = None
    learning_rate: float = 1e-3
    identities: int | None = None
    """Of a step; the recipe's when None."""
    seed: int = 0
    amp: Literal["off", "bf16", "fp16"] | None = None
    """See `Plan`."""

    def __post_init__(self) -> None:
        """Refuse what is no aim."""
        if (self.macs is None) == (self.milliseconds is None):
            raise UserError("--target-macs, --target-latency: give one of them")
        if self.macs is not None and not 0 < self.macs < 1:
            raise UserError(f"--target-macs {self.macs}: a share of the network's, above 0 and below 1")
        if self.milliseconds is not None and self.milliseconds <= 0:
            raise UserError(f"--target-latency {self.milliseconds}: milliseconds, above 0")
        if min(self.steps, self.epochs, self.round_to) < 1 or self.learning_rate <= 0:
            raise UserError("--steps, --epochs, --round-to and --learning-rate must be above 0")


@dataclass(frozen=True)
class Stage:
    """The network after a step of pruning and fine-tuning; the first one is the unpruned network."""

    step: int
    parameters: int
    macs: int
    milliseconds: tuple[float, float]
    """Of a crop, visible and thermal."""
    rank1: dict[str, float]
    """Per search of the data set's protocol."""
    mean_ap: dict[str, float]
    protocols: list[str]


def prune(
    *,
    checkpoint: Path,
    data: ReidData,
    out: Path,
    aim: Aim,
    latency: Latency,
    device: str | None = None,
    workers: int = 1,
    tell: Callable[[str], None] = lambda line: None,
) -> list[Stage]:
    """Prune a checkpoint; called again, it goes on where it was interrupted.

    Args:
        checkpoint: a model.safetensors or last.pt; it teaches after every step.
        data: its training people fine-tune, its test people measure.
        out: gets step1/, step2/, ... with their runs, model.safetensors, pruning.md, .svg and .json.
        aim: when to stop.
        latency: measures a network on this machine.
        device: a torch device for the fine-tuning.
        workers: processes that read and augment pictures.
        tell: called with a line per stage.

    Raises:
        UserError: an input is missing or malformed, or `out` holds the pruning of something else.
        CheckFailed: the aim cannot be reached.
    """
    loaded = load_model(checkpoint)
    recipe = recipes.from_json(loaded.recipe, loaded.config)
    _begin(out, checkpoint, data, aim)
    teacher = write_stored(_stored(loaded, loaded.model, recipe), out / "teacher.safetensors")
    stages = [_measured(0, teacher, data, latency, device)]
    tell(_line(stages[0], stages[0]))
    current = loaded
    for step in range(1, aim.steps + 1):
        run = out / f"step{step}"
        start = out / f"cut{step}.safetensors"
        if not start.exists():  # once cut it stays: measured milliseconds are never twice the same
            small = cut(current.model, loaded.size, _goal(aim, step, stages[0], loaded.size, latency), aim.round_to)
            layers = narrowed_layers(build_network(replace(recipe, layers=())), small)
            write_stored(_stored(loaded, small, _tuning(recipe, layers, aim)), start)
        narrowed = recipes.from_json(loaded.recipe, load_model(start).config)
        model = train(
            data=data, out=run, recipe=recipes.suited(narrowed, drawn=is_synthetic(data)),
            plan=Plan(epochs=aim.epochs, steps_per_epoch=aim.steps_per_epoch, seed=aim.seed, amp=aim.amp),
            begin=Start(init=start, teacher=teacher), device=device, workers=workers,
        )  # fmt: skip
        current = load_model(model)
        stages.append(_measured(step, model, data, latency, device))
        tell(_line(stages[-1], stages[0]))
        _report(out, stages)
    with atomic_file(out / "model.safetensors") as temporary:
        shutil.copyfile(model, temporary)
    return stages


def _tuning(recipe: Recipe, layers: tuple[str, ...], aim: Aim) -> Recipe:
    """The recipe of the fine-tuning."""
    identities = aim.identities or recipe.identities
    return replace(
        recipe, layers=layers, learning_rate=aim.learning_rate, identities=identities, shares=(1.0,), warm_up=0.1
    )


def _begin(out: Path, checkpoint: Path, data: ReidData, aim: Aim) -> None:
    """Note what is pruned and how, or check that it is what was begun here."""
    about = {"checkpoint": checkpoint.name, "sha256": sha256(checkpoint), "data": data.label, **asdict(aim)}
    note = out / "prune.json"
    if note.is_file():
        begun = json.loads(note.read_text(encoding="utf-8"))
        if changed := [name for name in about if begun.get(name) != about[name]]:
            raise UserError(f"{out}: holds a pruning with another {changed[0]}; choose another --out")
        return
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out}: holds other things than a pruning; choose another --out")
    with atomic_file(note) as temporary:
        temporary.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _stored(source: LoadedModel, network: TwoStream, recipe: Recipe) -> Stored:
    weights = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    return Stored(weights, source.recipe, recipe.as_json(), source.epoch, source.provenance)


def _goal(aim: Aim, step: int, first: Stage, size: tuple[int, int], latency: Latency) -> Callable[[TwoStream], bool]:
    """What a step has to reach: equal factors from step to step, the aim at the last one."""
    share = step / aim.steps
    if aim.macs is not None:
        most = first.macs * aim.macs**share
        return lambda network: picture_macs(network, size) <= most
    before = sum(first.milliseconds) / 2
    slowest = before * ((aim.milliseconds or before) / before) ** share
    return lambda network: sum(latency(network, size)) / 2 <= slowest


def _measured(step: int, checkpoint: Path, data: ReidData, latency: Latency, device: str | None) -> Stage:
    loaded = load_model(checkpoint)
    evaluations = evaluate_checkpoint(checkpoint, data, device=device)
    return Stage(
        step=step,
        parameters=sum(parameter.numel() for parameter in loaded.model.parameters()),
        macs=picture_macs(loaded.model, loaded.size),
        milliseconds=latency(loaded.model, loaded.size),
        rank1={evaluation.direction: evaluation.rank1 for evaluation in evaluations},
        mean_ap={evaluation.direction: evaluation.mean_ap for evaluation in evaluations},
        protocols=[evaluation.protocol for evaluation in evaluations],
    )


def _line(stage: Stage, first: Stage) -> str:
    return (
        f"step {stage.step}: {stage.macs / 1e6:.1f} M MACs ({stage.macs / first.macs:.0%}), "
        f"{stage.parameters / 1e6:.3f} M parameters, {stage.milliseconds[0]:.2f} / {stage.milliseconds[1]:.2f} ms, "
        + ", ".join(f"{name} {stage.rank1[name]:.1%} / {stage.mean_ap[name]:.1%}" for name in stage.rank1)
    )


def _report(out: Path, stages: list[Stage]) -> None:
    searches = list(stages[0].rank1)
    head = ["step", "M MACs", "M parameters", "ms visible", "ms thermal"]
    head += [f"{name}: rank-1 / mAP" for name in searches]
    lines = ["# Pruning", "", "Milliseconds: of a crop as deployed in FP32, batch 1, median.", ""]
    lines += [*(f"* {protocol}" for protocol in stages[0].protocols), ""]
    lines += [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for stage in stages:
        cells = [str(stage.step), f"{stage.macs / 1e6:.1f}", f"{stage.parameters / 1e6:.3f}"]
        cells += [f"{value:.2f}" for value in stage.milliseconds]
        cells += [f"{stage.rank1[name]:.1%} / {stage.mean_ap[name]:.1%}" for name in searches]
        lines.append(f"| {' | '.join(cells)} |")
    drawing, axes = figure(6, 4)
    for name in searches:
        axes.plot([s.macs / 1e6 for s in stages], [100 * s.rank1[name] for s in stages], "o-", label=name)
    axes.set_xlabel("M MACs of a picture")
    axes.set_ylabel("rank-1, %")
    axes.legend()
    written = {
        "pruning.md": "\n".join(lines) + "\n",
        "pruning.svg": svg(drawing),
        "pruning.json": json.dumps([asdict(stage) for stage in stages], indent=1) + "\n",
    }
    for name, text in written.items():
        with atomic_file(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
