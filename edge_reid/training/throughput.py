"""How many pictures a second a training takes in on this machine, and where their time goes.

Shapes: B pictures of either modality per step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TypeVar

import torch

from edge_reid.data.loader import Batch, build_loader
from edge_reid.data.sets import ReidData
from edge_reid.data.transforms import augment
from edge_reid.errors import UserError
from edge_reid.preprocess import read_crop
from edge_reid.recipes.base import Recipe
from edge_reid.training.device import choose_device
from edge_reid.training.run import Plan, Run, Start, precision, start
from edge_reid.training.step import backward, forward, to_device, update
from edge_reid.types import Json

Made = TypeVar("Made")

WARM_UP = 3
"""Steps that are not counted: the first ones allocate, choose kernels and fill the loader."""


@dataclass(frozen=True)
class Phase:
    """One part of the work."""

    name: str
    milliseconds: float
    """Per step."""
    pictures_per_second: float
    where: str
    """Which processor, and how many processes share the work."""

    def as_json(self) -> dict[str, Json]:
        """The fields by name."""
        return asdict(self)


def throughput(
    data: ReidData, recipe: Recipe, *, steps: int = 10, workers: int = 1, device: str | None = None
) -> tuple[list[Phase], str]:
    """Time the parts of a training step one by one, then all of it together.

    Args:
        data: the people.
        recipe: the network, its losses and the size of a step.
        steps: to time.
        workers: processes that read and augment pictures, as in `train`.
        device: a torch device; None takes CUDA if there is one, else the CPU.

    Returns:
        The phases in order, the whole last, and a sentence that says what holds it back.

    Raises:
        UserError: the data or the device cannot be used.
    """
    if steps < 1:
        raise UserError(f"--steps {steps}: needs at least 1")
    run = start(data, recipe, Plan(epochs=2, steps_per_epoch=steps + WARM_UP), Start(), choose_device(device))
    rows = 2 * recipe.identities * recipe.pictures
    here = "this process"

    def phase(name: str, seconds: float, where: str) -> Phase:
        return Phase(name, 1e3 * seconds, rows / seconds, where)

    phases = [phase(name, seconds, here) for name, seconds in _reading(run).items()]
    phases.append(phase("load", _loading(run, workers), f"{workers} workers" if workers else here))
    place = f"{run.provenance['device']}, {precision(run.plan, run.device)}"
    device_phases = [phase(name, seconds, place) for name, seconds in _computing(run, steps).items()]
    computed = sum(each.milliseconds for each in device_phases)
    whole = phase("whole step", _together(run, workers), f"{workers} workers and {place}")
    waits = max(0.0, 1 - computed / whole.milliseconds)
    said = f"a step waits {waits:.0%} of its time for pictures"
    loaded = next(each.milliseconds for each in phases if each.name == "load")
    if waits > 0.1:
        said += (
            f"; loading takes {loaded:.0f} ms a step and computing {computed:.0f} ms: "
            + ("more --workers would help" if loaded > computed else "both share the processors")
        )  # fmt: skip
    return [*phases, *device_phases, whole], said


def _reading(run: Run) -> dict[str, float]:
    """Seconds to decode and resize, and to augment, one step's pictures in one process."""
    size = run.recipe.size
    samples = [run.pictures.samples[index] for index in run.pictures.sampler.plan(0)[0].reshape(-1)]
    began = time.perf_counter()
    crops = [torch.from_numpy(read_crop(sample.path, sample.modality, size)) for sample in samples]
    decoded = time.perf_counter()
    labels = torch.zeros(size, dtype=torch.uint8)
    for crop, sample in zip(crops, samples, strict=True):
        augment(crop, labels, sample.modality, run.recipe.augment)
    return {"decode": decoded - began, "augment": time.perf_counter() - decoded}


def _batches(run: Run, workers: int) -> Iterator[Batch]:
    for batch in build_loader(run.pictures, list(run.keys())[: run.steps_per_epoch], workers):
        if isinstance(batch, UserError):
            raise batch
        yield batch


def _loading(run: Run, workers: int) -> float:
    """Seconds between batches when nobody makes the loader wait."""
    marks = [time.perf_counter() for _ in _batches(run, workers)]
    return (marks[-1] - marks[WARM_UP - 1]) / (len(marks) - WARM_UP)


def _computing(run: Run, steps: int) -> dict[str, float]:
    """Seconds of the parts of a step on one batch, mean over the steps."""
    batch = next(_batches(run, 0))
    sums: dict[str, float] = {}
    for number in range(steps + WARM_UP):
        for name, seconds in _timed_step(run, batch).items():
            sums[name] = sums.get(name, 0.0) + (seconds if number >= WARM_UP else 0.0)
    return {name: total / steps for name, total in sums.items()}


def _timed_step(run: Run, batch: Batch) -> dict[str, float]:
    """A step of `edge_reid.training.loop` with a clock between its parts."""
    spent: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Made]) -> Made:
        began = time.perf_counter()
        made = work()
        _synchronize(run)
        spent[name] = time.perf_counter() - began
        return made

    inputs = timed("move and normalise", lambda: to_device(run, batch))
    output = timed("forward", lambda: forward(run, run.network, *inputs))
    loss = timed("losses", lambda: run.recipe.loss(output, 1.0)[0])
    timed("backward", lambda: backward(run, loss))
    timed("update", lambda: update(run))
    return spent


def _together(run: Run, workers: int) -> float:
    """Seconds of a whole step, waiting for pictures included; a GPU is waited for at the ends only, as in training."""
    marks: list[float] = []
    for batch in _batches(run, workers):
        output = forward(run, run.network, *to_device(run, batch))
        backward(run, run.recipe.loss(output, 1.0)[0])
        update(run)
        if len(marks) in (WARM_UP - 1, run.steps_per_epoch - 1):
            _synchronize(run)
        marks.append(time.perf_counter())
    return (marks[-1] - marks[WARM_UP - 1]) / (len(marks) - WARM_UP)


def _synchronize(run: Run) -> None:
    if run.device.type == "cuda":
        torch.cuda.synchronize(run.device)
