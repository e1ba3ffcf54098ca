"""The training loop.

Shapes: B pictures of either modality per step.
"""

from __future__ import annotations

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
from edge_reid.data.loader import Batch, Targets, build_loader
from edge_reid.data.sets import ReidData
from edge_reid.errors import CheckFailed, UserError
from edge_reid.evaluation import Embedded, both_directions
from edge_reid.models.input import normalize
from edge_reid.recipes.sdm_mgim import SdmMgim
from edge_reid.training.checkpoint import TrainingState, load_state, partial_load, publish, save_state
from edge_reid.training.device import choose_device
from edge_reid.training.evaluate import embed_samples
from edge_reid.training.interrupt import stop_on_request
from edge_reid.training.records import Records
from edge_reid.training.run import Plan, Run, start
from edge_reid.training.schedule import warm_cosine
from edge_reid.types import MODALITIES, Json


def train(
    *,
    data: ReidData,
    out: Path,
    recipe: SdmMgim,
    plan: Plan,
    init: Path | None = None,
    device: str | None = None,
    workers: int = 1,
    checkpoint_minutes: float = 10.0,
) -> Path:
    """Train on a data set; if `out` holds an unfinished run of the same recipe and plan, go on with it exactly.

    Args:
        data: the people; a data folder's attributes and part labels are used, too.
        out: gets last.pt, log.csv, curve.svg, tensorboard/ and at the end model.safetensors.
        recipe: the network and its losses.
        plan: epochs, steps, seed and validation.
        init: a checkpoint to start from, classifiers excepted; None starts from random weights.
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
    last, published = out / "last.pt", out / "model.safetensors"
    state = load_state(last) if last.exists() else None
    if state is not None:
        _check_same(state, recipe, plan, out)
    run = start(data, recipe, plan, init, choose_device(device))
    if state is not None:
        run.resume(state)
        if run.epoch == plan.epochs:
            print(f"{out}: this run is finished ({run.epoch} epochs); its model is {published}")
            return published if published.exists() else publish(last, published)
    elif init is not None:
        _announce(init, *partial_load(run.network, init))
    print(
        f"{'going on at' if state else 'training from'} epoch {run.epoch} step {run.step} of {plan.epochs} epochs x "
        f"{run.steps_per_epoch} steps: {len(run.pictures.labels)} identities, {len(run.pictures.samples)} pictures, "
        f"on {run.provenance['device']}"
    )
    out.mkdir(parents=True, exist_ok=True)
    if state is None:
        save_state(run.state(), last)  # a run of no epochs is published, too: the untrained network
    loader = build_loader(run.pictures, list(run.keys()), workers)
    with Records(out, steps=run.total_steps, done=run.steps) as records:
        _take_steps(run, loader, records, checkpoint_minutes)
    publish(last, published)
    print(
        f"trained {plan.epochs} epochs; the model is {published}"
        + (f", the log {out / 'log.csv'}" if plan.epochs else "")
    )
    return published


def _take_steps(run: Run, loader: DataLoader[Batch | UserError], records: Records, checkpoint_minutes: float) -> None:
    """All steps that are left, with their checkpoints."""
    last = records.out / "last.pt"
    saved = mark = time.monotonic()
    with stop_on_request() as stop:
        for batch in loader:
            if isinstance(batch, UserError):
                raise batch
            rate = run.recipe.learning_rate * warm_cosine(run.progress, run.recipe.warm_up)
            values = _step(run, batch, rate)
            # Step to step, so that waiting for pictures counts.
            seconds, mark = time.monotonic() - mark, time.monotonic()
            for name, value in {**values, "seconds": seconds}.items():
                run.sums[name] = run.sums.get(name, 0.0) + value
            run.step += 1
            records.step(
                run.steps, values, images_per_second=len(batch.targets.identities) / seconds, learning_rate=rate
            )
            if run.step == run.steps_per_epoch:
                _finish_epoch(run, records, batch=batch, learning_rate=rate)
                mark = time.monotonic()
            elif not stop and mark - saved < 60 * checkpoint_minutes:
                continue
            save_state(run.state(), last)
            saved = time.monotonic()
            if stop and run.epoch < run.plan.epochs:
                print(f"interrupted in epoch {run.epoch + 1} of {run.plan.epochs}; {last} is written. To go on:")
                print(f"  {shlex.join(sys.argv)}")
                raise KeyboardInterrupt


def _step(run: Run, batch: Batch, rate: float) -> dict[str, float]:
    """One update of the weights; returns the values of the losses."""
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    visible, thermal = (
        normalize(crops.to(run.device, non_blocking=True)).contiguous(memory_format=torch.channels_last)
        for crops in (batch.visible, batch.thermal)
    )
    targets = Targets(*(target.to(run.device, non_blocking=True) for target in batch.targets))
    with torch.autocast(run.device.type, dtype=torch.bfloat16, enabled=run.amp):
        output = run.network(visible, thermal)
    loss, terms = run.recipe.loss(output, targets, run.progress)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(run.network.parameters(), run.recipe.clip)
    run.optimizer.step()
    accuracy = (output.logits.argmax(1) == targets.identities).float().mean()
    shown = {"loss": loss, **terms, "accuracy": accuracy}
    values = dict(zip(shown, torch.stack([value.detach() for value in shown.values()]).tolist(), strict=True))
    if not math.isfinite(values["loss"]):
        raise CheckFailed(
            f"the loss became {values['loss']} in epoch {run.epoch + 1}; train with a lower learning rate"
        )
    return values


def _finish_epoch(run: Run, records: Records, *, batch: Batch, learning_rate: float) -> None:
    """Write the epoch's row, whose last step had this batch and rate, validate if it is time, turn to the next one."""
    height, width = batch.thermal.shape[1:]
    seconds = run.sums.pop("seconds")
    row = {name: total / run.step for name, total in run.sums.items()}
    row = {"epoch": run.epoch + 1, "height": height, "width": width, "learning_rate": learning_rate, **row}
    row |= {"seconds": seconds, "images_per_second": len(batch.targets.identities) * run.step / seconds}
    run.epoch, run.step, run.sums = run.epoch + 1, 0, {}
    if run.held_out and (run.epoch % run.plan.validate_every == 0 or run.epoch == run.plan.epochs):
        row |= _validate(run)
    run.history.append(row)
    records.epoch(run.history, epochs=run.plan.epochs, steps=run.steps)


def _validate(run: Run) -> dict[str, float]:
    """Rank the people that were kept out of training, in both directions, at the size that training has reached."""
    run.network.eval()
    size = run.recipe.size_at(run.progress)
    parts = ([s for s in run.held_out if s.modality == modality] for modality in MODALITIES)
    visible, thermal = (Embedded(part, embed_samples(run.network.network, part, size)) for part in parts)
    run.network.train()
    row: dict[str, float] = {}
    for evaluation in both_directions(visible, thermal):
        direction = f"{evaluation.query_modality}_to_{evaluation.gallery_modality}"
        row |= {f"val_rank1_{direction}": evaluation.rank1, f"val_map_{direction}": evaluation.mean_ap}
    return row


def _check_same(state: TrainingState, recipe: SdmMgim, plan: Plan, out: Path) -> None:
    now = {"recipe": recipes.name_of(recipe), **recipe.as_json(), **asdict(plan)}
    before: dict[str, Json] = {"recipe": state.recipe, **state.config, **state.plan}
    changed = [f"{key} {before.get(key)} -> {now.get(key)}" for key in now | before if now.get(key) != before.get(key)]
    if changed:
        raise UserError(
            f"{out}: holds a run with other numbers ({', '.join(changed)}); choose another --out or go back"
        )


def _announce(init: Path, taken: int, missing: list[str]) -> None:
    parts = sorted({name.split(".")[0] for name in missing})
    print(f"starting from {init}: {taken} tensors taken" + (f", {', '.join(parts)} start anew" if parts else ""))
