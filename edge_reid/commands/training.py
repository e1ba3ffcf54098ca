"""Commands that train a checkpoint and measure it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

from tyro.conf import OmitArgPrefixes, Positional

from edge_reid.data.sets import DataOptions
from edge_reid.progress import print_table, progress
from edge_reid.reference import checkpoint_file


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a recipe on the training people of a data folder; run the same command again to go on."""

    data: Positional[Path]
    """Data folder: ROOT/train/{visible,thermal}/IDENTITY/cCAMERA_NAME.jpg, or a published set, see --data-set."""
    data_set: Literal["folder", "sysu", "regdb", "llcm"] = "folder"
    """What DATA is: one's own pictures, SYSU-MM01, RegDB or LLCM."""
    split: int = 1
    """regdb: 1 to 10."""
    out: Path = Path("runs/train")
    """Folder of the run: checkpoints, log.csv, TensorBoard, and at the end model.safetensors."""
    recipe: str = "sdm-mgim"
    """Which published system."""
    init: Path | None = None
    """Model to start from, `reference` for the one that the project carries; the network's numbers are its own."""
    width: float | None = None
    """Width of OSNet: 1.0, 0.75, 0.5 or 0.25."""
    size: tuple[int, int] | None = None
    """Height and width of the pictures."""
    granularities: tuple[int, ...] | None = None
    """Stripes of the multi-granularity blocks."""
    part_dim: int | None = None
    """Size of a part's feature."""
    share_from: int | None = None
    """First stage that both modalities share, 0 to 5."""
    identities: int | None = None
    """Identities of a step."""
    pictures: int | None = None
    """Visible and thermal pictures of each identity of a step."""
    learning_rate: float | None = None
    """Peak of warm-up and cosine."""
    weight_decay: float | None = None
    """Of convolutions and linear layers."""
    warm_up: float | None = None
    """Share of the training in which the learning rate rises."""
    shares: tuple[float, ...] | None = None
    """Shares of the training at growing picture sizes: 0.9 0.1 begins at half size."""
    identity_weight: float | None = None
    """Of the identity losses."""
    attribute_weight: float | None = None
    """Of the attributes, where the data folder knows some."""
    parsing_weight: float | None = None
    """Of the part labels, where the data folder has some."""
    teacher_from: float | None = None
    """Share of the training after which the self-distillation's teacher counts in full."""
    epochs: int = 120
    """Passes over the training people; 0 writes the untrained network."""
    steps: int | None = None
    """Steps of an epoch; as many as draw each picture once when not given."""
    validate: int = 0
    """Training people to keep out of training and to rank now and then."""
    seed: int = 0
    """Of the weights and of every batch."""
    device: str | None = None
    """A torch device; CUDA where there is one, else the CPU."""
    amp: bool | None = None
    """Compute in bfloat16; on CUDA when not given."""
    workers: int = 1
    """Processes that read and augment pictures."""

    def run(self) -> None:
        """Train."""
        from edge_reid import recipes
        from edge_reid.training.checkpoint import load_model
        from edge_reid.training.loop import train
        from edge_reid.training.run import Plan

        init = checkpoint_file(self.init) if self.init else None
        recipe = recipes.get(self.recipe)
        if init:
            recipe = recipes.from_json(self.recipe, load_model(init).config)
        names = {f.name for f in fields(recipe)} & {f.name for f in fields(self)}
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if init and "shares" not in given:
            given["shares"] = (1.0,)
        plan = Plan(
            epochs=self.epochs,
            steps_per_epoch=self.steps,
            seed=self.seed,
            validate_identities=self.validate,
            validate_every=5,
            amp=self.amp,
        )
        data = DataOptions(data_set=self.data_set, split=self.split).open(self.data)
        train(
            data=data, out=self.out, recipe=replace(recipe, **given), plan=plan, init=init, device=self.device,
            workers=self.workers,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Rank the test people of a data set by its protocol; those of a folder in both directions, single-shot."""

    checkpoint: Positional[Path]
    """A model.safetensors or last.pt, or `reference`."""
    data: Positional[Path]
    """Data folder with test/, or a published set, see --data-set."""
    protocol: OmitArgPrefixes[DataOptions] = field(default_factory=DataOptions)
    baselines: bool = False
    """Also rank by raw pixels, by silhouettes where the folder has part labels, and with an untrained network."""
    sheet: Path | None = None
    """Write a picture of queries with their ten nearest here (PNG)."""
    device: str | None = None
    """A torch device; CUDA where there is one, else the CPU."""
    json: bool = False
    """Print one JSON document."""

    def run(self) -> None:
        """Rank and print."""
        from edge_reid.training.evaluate import evaluate_checkpoint, rank_baselines

        checkpoint, data = checkpoint_file(self.checkpoint), self.protocol.open(self.data)
        with progress("embedding") as update:
            evaluations = evaluate_checkpoint(checkpoint, data, device=self.device, sheet=self.sheet, progress=update)
            baselines = rank_baselines(checkpoint, data) if self.baselines else {}
        answer = {
            "evaluations": [asdict(evaluation) for evaluation in evaluations],
            "baselines": {name: [asdict(e) for e in both] for name, both in baselines.items()},
        }
        if self.json:
            print(json.dumps(answer))
            return
        rows = [
            (name, e.direction, *(f"{number:.1%}" for number in (e.rank1, e.rank5, e.rank10, e.mean_ap, e.mean_inp)))
            for name, both in {**baselines, str(self.checkpoint): evaluations}.items()
            for e in both
        ]
        print_table(("", "direction", "rank-1", "rank-5", "rank-10", "mAP", "mINP"), rows)
        for e in evaluations:
            print(e.protocol)
        if self.sheet:
            print(f"{self.sheet}: some rankings in pictures")
