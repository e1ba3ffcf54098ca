"""What a run leaves for people to look at: a progress bar, a line per epoch, log.csv, curve.svg and TensorBoard."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.progress import TextColumn
from torch.utils.tensorboard import SummaryWriter

from edge_reid.files import atomic_file
from edge_reid.progress import progress_bar
from edge_reid.training.curve import write_curve


class Records:
    """Shows the steps of a run as they happen and writes down its epochs."""

    def __init__(self, out: Path, *, steps: int, done: int, shown: bool = True) -> None:
        """Open the records of a run of `steps` steps of which `done` are done; one of many processes shows them."""
        self.out = out
        self.shown = shown
        if not shown:
            return
        self._bar = progress_bar(TextColumn("{task.fields[rate]}"))
        self._task = self._bar.add_task("training", total=steps, completed=done, rate="")
        # Steps that a crash undid are taken again; their old points go.
        self._board = SummaryWriter(str(out / "tensorboard"), purge_step=done)

    def __enter__(self) -> Records:
        if self.shown:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.shown:
            self._bar.stop()
            self._board.close()

    def step(self, number: int, values: dict[str, float], *, images_per_second: float, learning_rate: float) -> None:
        """Step `number` of the run is done."""
        if not self.shown:
            return
        rate = f"{images_per_second:.0f} img/s"
        self._bar.update(self._task, completed=number, description=f"loss {values['loss']:.3f}", rate=rate)
        if number % 10 == 0:
            for name, value in values.items():
                self._board.add_scalar(f"train/{name}", value, number)
            self._board.add_scalar("train/learning rate", learning_rate, number)

    def epoch(self, history: Sequence[dict[str, float]], *, epochs: int, steps: int) -> None:
        """The last row of `history` is a finished epoch; `steps` steps of the run are done."""
        row = history[-1]
        for name, value in row.items():
            if name.startswith("val"):
                self._board.add_scalar(f"validation/{name}", value, steps)
        shown = " ".join(f"{name} {value:.3f}" for name, value in row.items() if name not in _COUNTS)
        size = f"{row['height']:.0f}x{row['width']:.0f}"
        rate = f"{row['images_per_second']:.0f} img/s"
        print(f"epoch {row['epoch']:.0f}/{epochs}  {size}  {shown}  {rate}", flush=True)
        write_log(self.out / "log.csv", history)
        write_curve(self.out / "curve.svg", history)


_COUNTS = ("epoch", "height", "width", "images_per_second", "seconds", "learning_rate")


def write_log(path: Path, history: Sequence[dict[str, float]]) -> None:
    """One row per epoch; columns that only some epochs have (validation) are empty elsewhere."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in history)
