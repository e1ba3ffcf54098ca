"""Commands that train a checkpoint and measure it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import OmitArgPrefixes, Positional

from edge_reid.data.sets import DataOptions, ReidData, is_synthetic
from edge_reid.errors import UserError
from edge_reid.progress import print_table, progress
from edge_reid.reference import checkpoint_file
from edge_reid.types import Json

if TYPE_CHECKING:
    from edge_reid.recipes.base import Recipe


NUMBERS = (
    "arch", "width", "size", "granularities", "part_dim", "share_from", "identities", "pictures", "learning_rate",
    "weight_decay", "warm_up", "shares", "identity_weight", "attribute_weight", "parsing_weight", "teacher_from",
)  # fmt: skip
"""Options of `train` that are numbers of its recipe."""


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
    recipe: str | None = None
    """Which published system or control, see `edge-reid recipes`; that of --init, else sdm-mgim, when not given."""
    init: Path | None = None
    """Model to start from, `reference` for the one that the project carries; the network's numbers are its own."""
    weights: Path | None = None
    """Trunk to start from: OSNet of torchreid, ResNet-50 of torchvision, or a model of any recipe (`reference`)."""
    parts: Path | None = None
    """Folder of label maps, PICTURE.png for each picture; a data folder's own parts/ when not given."""
    teacher: Path | None = None
    """Model whose embeddings, and how it ranks by them, are to be learnt, too: the larger one, or the unpruned one."""
    set: tuple[str, ...] = ()
    """Any number of the recipe, NAME=VALUE, lists as 2,3,6; see `edge-reid recipes NAME`."""
    arch: Literal["osnet", "resnet50"] | None = None
    """The trunk."""
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
    epochs: int | None = None
    """Passes over the training people; the recipe's when not given, 0 writes the untrained network."""
    steps: int | None = None
    """Steps of an epoch; as many as draw each picture once when not given."""
    validate: int = 0
    """Training people to keep out of training and to rank every five epochs."""
    patience: int | None = None
    """End after so many of these without a better mAP, and publish the best weights."""
    seed: int = 0
    """Of the weights and of every batch."""
    device: str | None = None
    """A torch device; CUDA where there is one, else the CPU."""
    amp: Literal["off", "bf16", "fp16"] | None = None
    """Precision of the network; bf16 on CUDA when not given."""
    compile: bool = False
    """Compile the network with TorchInductor: slower to start, faster to run."""
    workers: int = 1
    """Processes that read and augment pictures."""

    def run(self) -> None:
        """Train."""
        from edge_reid.data.parts import PartLabels
        from edge_reid.training.loop import train
        from edge_reid.training.run import Plan, Start

        init = checkpoint_file(self.init) if self.init else None
        weights = checkpoint_file(self.weights) if self.weights else None
        if init and weights:
            raise UserError("--weights: --init brings a whole network; give one of them")
        data = DataOptions(data_set=self.data_set, split=self.split).open(self.data)
        recipe = self._recipe(init, data)
        epochs = recipe.epochs if self.epochs is None else self.epochs
        plan = Plan(
            epochs=epochs, steps_per_epoch=self.steps, seed=self.seed, validate_identities=self.validate,
            validate_every=5, patience=self.patience, amp=self.amp, compile=self.compile,
        )  # fmt: skip
        labels = PartLabels(data.root, self.parts) if self.parts else None
        train(
            data=data, out=self.out, recipe=recipe, plan=plan, device=self.device, workers=self.workers,
            begin=Start(
                init=init, weights=weights, labels=labels,
                teacher=checkpoint_file(self.teacher) if self.teacher else None,
            ),
        )  # fmt: skip

    def _recipe(self, init: Path | None, data: ReidData) -> Recipe:
        from edge_reid import recipes
        from edge_reid.training.checkpoint import load_model

        recipe = recipes.get(self.recipe or "sdm-mgim")
        given: dict[str, Json] = {}
        if init:
            stored = load_model(init)
            if self.recipe not in (None, stored.recipe):
                raise UserError(
                    f"--recipe {self.recipe}: {init} is of {stored.recipe}; --weights takes its trunk alone"
                )
            recipe = recipes.from_json(stored.recipe, stored.config)
            given["shares"] = [1.0]
        recipe = recipes.suited(recipe, drawn=is_synthetic(data))
        for name in NUMBERS:
            value = getattr(self, name)
            if value is None:
                continue
            if name not in {field.name for field in fields(recipe)}:
                raise UserError(f"--{name.replace('_', '-')}: recipe {recipes.name_of(recipe)} has no such number")
            given[name] = list(value) if isinstance(value, tuple) else value
        return recipes.changed(recipe, given | recipes.assignments(self.set))


@dataclass(frozen=True, kw_only=True)
class Recipes:
    """List the recipes with what their networks cost at inference, or all numbers of one."""

    name: Positional[str | None] = None
    """A recipe, for its numbers."""
    json: bool = False
    """Print one JSON document."""

    def run(self) -> None:
        """Print the table."""
        from edge_reid import recipes
        from edge_reid.models.cost import cost

        chosen = {name: recipes.get(name) for name in ([self.name] if self.name else recipes.names())}
        costs = {name: cost(recipe) for name, recipe in chosen.items()}
        if self.json:
            print(
                json.dumps(
                    {name: {**r.as_json(), "epochs": r.epochs, **asdict(costs[name])} for name, r in chosen.items()}
                )
            )
            return
        if self.name:
            told = {**chosen[self.name].as_json(), "epochs": chosen[self.name].epochs}
            print_table(("number", "value"), [(key, str(value)) for key, value in told.items()])
        rows = [
            (
                name, recipe.arch, f"{recipe.size[0]}x{recipe.size[1]}", f"{recipe.share_from} {recipe.share_mode}",
                f"{costs[name].stored / 1e6:.3f}", f"{costs[name].active / 1e6:.3f}", f"{costs[name].macs / 1e9:.3f}",
                str(costs[name].embedding_dim),
            )
            for name, recipe in chosen.items()
        ]  # fmt: skip
        head = ("recipe", "trunk", "size", "shared from", "M stored", "M active", "GMACs", "embedding")
        print_table(head, rows, title="inference, one picture")


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
            (
                name, e.direction,
                *(f"{number:.1%}" for number in (e.rank1, e.rank5, e.rank10, e.cmc[19], e.mean_ap, e.mean_inp)),
            )
            for name, both in {**baselines, str(self.checkpoint): evaluations}.items()
            for e in both
        ]  # fmt: skip
        print_table(("", "direction", "rank-1", "rank-5", "rank-10", "rank-20", "mAP", "mINP"), rows)
        for e in [*evaluations, *(one for both in baselines.values() for one in both)]:
            print(e.protocol)
        if self.sheet:
            print(f"{self.sheet}: some rankings in pictures")


@dataclass(frozen=True, kw_only=True)
class Ablate:
    """Train every cell of a grid with several seeds and write one table; run the same command again to go on."""

    grid: Positional[Path]
    """A TOML file, see docs/ablations.toml."""
    data: Path | None = None
    """Data folder to train and test on; the grid draws its own people when not given."""
    out: Path = Path("runs/ablation")
    """Folder of the cells, ablation.md and ablation.json."""
    jobs: int | None = None
    """Cells at a time; when not given one per processor, or one with a GPU."""

    def run(self) -> None:
        """Run what is left and print the table."""
        from edge_reid.ablation import ablate

        _, page = ablate(self.grid, self.out, self.data, jobs=self.jobs, tell=lambda line: print(line, flush=True))
        print(page.read_text(encoding="utf-8"))
        print(f"{page}: the table")
