"""The training loop.

Shapes: B pictures of either modality per step.
"""

from __future__ import annotations

import json
import math
import shlex
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader

from edge_reid import recipes
from edge_reid.data.loader import Batch, build_loader
from edge_reid.data.sets import ReidData
from edge_reid.errors import CheckFailed, UserError
from edge_reid.evaluation import Embedded, both_directions
from edge_reid.files import atomic_file
from edge_reid.models.cost import cost
from edge_reid.models.pretrained import import_weights
from edge_reid.recipes.base import Recipe
from edge_reid.training.checkpoint import TrainingState, load_state, partial_load, publish, save_state
from edge_reid.training.device import choose_device
from edge_reid.training.distributed import World, gathered, joined, own_device, parallel
from edge_reid.training.evaluate import embed_samples
from edge_reid.training.interrupt import stop_on_request
from edge_reid.training.records import Records
from edge_reid.training.run import Plan, Run, Start, start
from edge_reid.training.step import backward, forward, to_device, update
from edge_reid.training.teacher import taught
from edge_reid.types import MODALITIES, Json

TAUGHT = "taught"


def train(
    *,
    data: ReidData,
    out: Path,
    recipe: Recipe,
    plan: Plan,
    begin: Start | None = None,
    device: str | None = None,
    workers: int = 1,
    checkpoint_minutes: float = 10.0,
) -> Path:
    """Train on a data set; if `out` holds an unfinished run of the same recipe and plan, go on with it exactly.

    Under torchrun every process calls this with the same arguments, and the first one writes and prints.

    Args:
        data: the people; a data folder's attributes and part labels are used, too.
        out: gets run.json, last.pt, log.csv, curve.svg, tensorboard/ and at the end model.safetensors.
        recipe: the network and its losses.
        plan: epochs, steps, seed and validation.
        begin: what it begins with, None for random weights.
        device: a torch device; None takes CUDA if there is one, else the CPU, and says which.
        workers: processes that read and augment pictures.
        checkpoint_minutes: between checkpoints inside an epoch; one is written after every epoch anyway.

    Returns:
        The published model, out/model.safetensors.

    Raises:
        UserError: the data, the checkpoint or an existing run in `out` do not fit.
        CheckFailed: the loss is no longer a number.
        KeyboardInterrupt: the run was interrupted; a checkpoint is written, the same call goes on.
    """
    begin = begin or Start()
    last, published = out / "last.pt", out / "model.safetensors"
    state = load_state(last) if last.exists() else None
    if state is not None:
        _check_same(state, recipe, plan, out)
    place = own_device(choose_device(device))
    with joined(place) as world:
        run = start(data, recipe, plan, begin, place, world.share)
        lines = _begin(run, begin, state)
        if state is not None and run.is_finished:
            if world.leads:
                print(f"{out}: this run is finished ({run.epoch} epochs); its model is {published}")
                if not published.exists():
                    publish(_final(run, out), published)
            return published
        if world.leads:
            print("\n".join(lines), flush=True)
            if state is None:
                _describe(run, out)
        loader = build_loader(run.pictures, list(run.keys()), workers)
        with Records(out, steps=run.total_steps, done=run.steps, shown=world.leads) as records:
            _take_steps(run, world, loader, records, checkpoint_minutes)
        if world.leads:
            publish(_final(run, out), published)
            log = f", the log {out / 'log.csv'}" if plan.epochs else ""
            print(f"trained {run.epoch} epochs; the model is {published}{log}")
    return published


def _begin(run: Run, begin: Start, state: TrainingState | None) -> list[str]:
    """Load what the run begins with; returns what to say about it."""
    lines = []
    if state is not None:
        run.resume(state)
    elif begin.init is not None:
        lines.append(_announce(begin.init, *partial_load(run.network, begin.init)))
    elif begin.weights is not None:
        lines.append(import_weights(run.network.network, begin.weights))
    lines.append(f"recipe {recipes.name_of(run.recipe)}: {cost(run.recipe)}")
    if uneven := run.recipe.uneven():
        rows, counts = run.recipe.size[0] // 16, ", ".join(map(str, uneven))
        lines.append(f"stripes: the last map's {rows} rows do not divide evenly by {counts}; neighbours share rows")
    if besides := run.learns_besides():
        lines.append(f"also learns: {', '.join(besides)}")
    lines.append(
        f"{'going on at' if state else 'training from'} epoch {run.epoch} step {run.step} of {run.plan.epochs} epochs "
        f"x {run.steps_per_epoch} steps: {len(run.pictures.labels)} identities, {len(run.pictures.samples)} pictures, "
        f"on {run.provenance['device']}"
    )
    return lines


def _describe(run: Run, out: Path) -> None:
    """Write all that it takes to repeat the run, and its first checkpoint."""
    out.mkdir(parents=True, exist_ok=True)
    about = {
        "command": shlex.join(sys.argv),
        "recipe": recipes.name_of(run.recipe),
        "config": run.recipe.as_json(),
        "plan": asdict(run.plan),
        "steps_per_epoch": run.steps_per_epoch,
        "provenance": run.provenance,
    }
    with atomic_file(out / "run.json") as temporary:
        temporary.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    save_state(run.state(), out / "last.pt")  # a run of no epochs is published, too: the untrained network


def _final(run: Run, out: Path) -> Path:
    """The checkpoint whose weights are published: with patience the best one, else the last."""
    return out / ("best.pt" if run.plan.patience is not None and (out / "best.pt").exists() else "last.pt")


def _take_steps(
    run: Run, world: World, loader: DataLoader[Batch | UserError], records: Records, checkpoint_minutes: float
) -> None:
    """All steps that are left, with their checkpoints."""
    last = records.out / "last.pt"
    saved = mark = time.monotonic()
    network = parallel(run.network, world, run.device)
    if run.plan.compile:
        network.compile()
    with stop_on_request() as stop:
        for batch in loader:
            if isinstance(batch, UserError):
                raise batch
            rate = run.rate
            values = _step(run, network, batch, rate)
            # Step to step, so that waiting for pictures counts.
            seconds, mark = time.monotonic() - mark, time.monotonic()
            for name, value in {**values, "seconds": seconds}.items():
                run.sums[name] = run.sums.get(name, 0.0) + value
                run.counts[name] = run.counts.get(name, 0) + 1
            run.step += 1
            pictures = len(batch.targets.identities) * world.size
            records.step(run.steps, values, images_per_second=pictures / seconds, learning_rate=rate)
            stopping = world.agree(bool(stop), run.device)
            due = world.agree(world.leads and mark - saved >= 60 * checkpoint_minutes, run.device)
            if run.step == run.steps_per_epoch:
                _finish_epoch(run, world, records, batch=batch, learning_rate=rate)
                mark = time.monotonic()
            elif not (stopping or due):
                continue
            if world.leads:
                save_state(run.state(), last)
            saved = time.monotonic()
            if world.agree(world.leads and run.is_spent, run.device):
                break
            if stopping and run.epoch < run.plan.epochs:
                _interrupted(run, world, last)


def _interrupted(run: Run, world: World, last: Path) -> None:
    if world.leads:
        told = "the same torchrun command" if world.size > 1 else shlex.join(sys.argv)
        print(f"interrupted in epoch {run.epoch + 1} of {run.plan.epochs}; {last} is written. To go on:\n  {told}")
    raise KeyboardInterrupt


def _step(run: Run, network: nn.Module, batch: Batch, rate: float) -> dict[str, float]:
    """One update of the weights; returns the values of the losses."""
    for group in run.optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    visible, thermal, targets = to_device(run, batch)
    output = forward(run, network, visible, thermal, targets)
    if run.teacher:
        with run.autocast:
            output.extras[TAUGHT] = run.teacher.embed(visible, thermal)
    output = gathered(output)
    loss, terms = run.recipe.loss(output, run.progress)
    if run.teacher:
        more = taught(run.network.network, output, output.extras[TAUGHT])
        loss = loss + torch.stack([weight * value for weight, value in more.values()]).sum()
        terms |= {name: value for name, (_, value) in more.items()}
    backward(run, loss)
    update(run)
    accuracy = (output.deepest_logits.argmax(1) == output.targets.identities).float().mean()
    shown = {"loss": loss, **terms, "accuracy": accuracy}
    values = dict(zip(shown, torch.stack([value.detach() for value in shown.values()]).tolist(), strict=True))
    if not math.isfinite(values["loss"]):
        raise CheckFailed(
            f"the loss became {values['loss']} in epoch {run.epoch + 1}; train with a lower learning rate"
        )
    return values


def _finish_epoch(run: Run, world: World, records: Records, *, batch: Batch, learning_rate: float) -> None:
    """Write the epoch's row, whose last step had this batch and rate, validate if it is time, turn to the next one."""
    height, width = batch.thermal.shape[1:]
    seconds = run.sums.pop("seconds")
    # A term that began within the epoch counts by the steps that had it.
    row = {name: total / run.counts[name] for name, total in run.sums.items()}
    row = {"epoch": run.epoch + 1, "height": height, "width": width, "learning_rate": learning_rate, **row}
    pictures = len(batch.targets.identities) * world.size * run.step
    row |= {"seconds": seconds, "images_per_second": pictures / seconds}
    run.epoch, run.step, run.sums, run.counts = run.epoch + 1, 0, {}, {}
    if not world.leads:
        return
    protocols: list[str] = []
    if run.held_out and (run.epoch % run.plan.validate_every == 0 or run.epoch == run.plan.epochs):
        values, protocols = _validate(run)
        row |= values
    run.history.append(row)
    records.epoch(run.history, epochs=run.plan.epochs, steps=run.steps)
    for protocol in protocols:
        print(f"  validation: {protocol}", flush=True)
    if run.plan.patience is not None and run.best is row:
        save_state(run.state(), records.out / "best.pt")


def _validate(run: Run) -> tuple[dict[str, float], list[str]]:
    """Rank the people that were kept out of training, in both directions, at the size that training has reached.

    Returns:
        Columns of the epoch's row, and the protocol of each direction.
    """
    run.network.eval()
    size = run.recipe.size_at(run.progress)
    parts = ([s for s in run.held_out if s.modality == modality] for modality in MODALITIES)
    visible, thermal = (Embedded(part, embed_samples(run.network.network, part, size)) for part in parts)
    run.network.train()
    row: dict[str, float] = {}
    evaluations = both_directions(visible, thermal, data=f"people kept out of training of {run.provenance['data']}")
    for evaluation in evaluations:
        direction = f"{evaluation.query_modality}_to_{evaluation.gallery_modality}"
        row |= {f"val_rank1_{direction}": evaluation.rank1, f"val_map_{direction}": evaluation.mean_ap}
    row["val_map"] = sum(evaluation.mean_ap for evaluation in evaluations) / 2
    return row, [evaluation.protocol for evaluation in evaluations]


def _check_same(state: TrainingState, recipe: Recipe, plan: Plan, out: Path) -> None:
    now = {"recipe": recipes.name_of(recipe), **recipe.as_json(), **asdict(plan)}
    before: dict[str, Json] = {"recipe": state.recipe, **state.config, **state.plan}
    changed = [f"{key} {before.get(key)} -> {now.get(key)}" for key in now | before if now.get(key) != before.get(key)]
    if changed:
        raise UserError(
            f"{out}: holds a run with other numbers ({', '.join(changed)}); choose another --out or go back"
        )


def _announce(init: Path, taken: int, missing: list[str]) -> str:
    parts = sorted({"classifiers" if ".classifiers." in f".{name}" else name.split(".")[0] for name in missing})
    return f"starting from {init}: {taken} tensors taken" + (f", {', '.join(parts)} start anew" if parts else "")
