"""A run: how long it is and where it stands, made from a data folder and a recipe or from a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import torch

from edge_reid import recipes
from edge_reid.data.folder import FolderDataset
from edge_reid.data.loader import StepKey, TrainingPictures
from edge_reid.data.parts import PartLabels
from edge_reid.data.sampler import build_sampler
from edge_reid.data.sets import ReidData
from edge_reid.errors import UserError
from edge_reid.files import sha256
from edge_reid.models.build import TrainingNetwork, build_training_network
from edge_reid.models.output import People
from edge_reid.recipes.base import Recipe
from edge_reid.training.checkpoint import TrainingState, learnt_from
from edge_reid.training.optimizer import build_optimizer
from edge_reid.training.provenance import origin
from edge_reid.training.schedule import warm_cosine, warm_steps
from edge_reid.training.teacher import NetworkTeacher
from edge_reid.types import MODALITIES, Json, Sample


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long a run is and what it draws. Equal recipes, plans, data and machines give equal runs, bit for bit."""

    epochs: int
    """0 is a run, too: it leaves the untrained network."""
    steps_per_epoch: int | None = None
    """None: as many as draw as many pictures as the larger modality has."""
    seed: int = 0
    validate_identities: int = 0
    """So many training identities, the last ones, are kept out of training and ranked now and then."""
    validate_every: int = 10
    """Epochs."""
    patience: int | None = None
    """Validations without a better mAP after which the run ends with the best weights; None: never."""
    amp: Literal["off", "bf16", "fp16"] | None = None
    """Precision of the network under autocast. None: bf16 on CUDA, else off; CPUs with bfloat16 gain from it, too."""
    compile: bool = False
    """Compile the network with TorchInductor."""

    def __post_init__(self) -> None:
        """Refuse what is no run."""
        if min(self.epochs, self.validate_identities, self.validate_every - 1) < 0:
            raise UserError("--epochs and --validate must be at least 0, and validation every epoch or more rarely")
        if self.steps_per_epoch is not None and self.steps_per_epoch < 1:
            raise UserError(f"--steps {self.steps_per_epoch}: must be at least 1")
        if self.patience is not None and not (self.patience > 0 and self.validate_identities):
            raise UserError(f"--patience {self.patience}: needs 1 or more, and people to validate on, see --validate")
        if self.seed < 0:
            raise UserError(f"--seed {self.seed}: must be at least 0")


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a run begins with, besides random weights."""

    init: Path | None = None
    """A checkpoint of this project, classifiers excepted."""
    weights: Path | None = None
    """Trunk weights of torchreid (OSNet) or torchvision (ResNet-50)."""
    labels: PartLabels | None = None
    """Label maps; None takes a data folder's own."""
    teacher: Path | None = None
    """A model whose embeddings, and how it ranks by them, are to be learnt, too."""


@dataclass
class Run:
    """Everything that changes while a run goes on, and what it needs to."""

    recipe: Recipe
    plan: Plan
    network: TrainingNetwork
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    """Keeps the gradients of fp16 in its range; without fp16 it does nothing."""
    device: torch.device
    pictures: TrainingPictures
    held_out: list[Sample]
    """Pictures of the identities kept for validation."""
    provenance: dict[str, Json]
    teacher: NetworkTeacher | None = None
    epoch: int = 0
    step: int = 0
    """Done in this epoch."""
    sums: dict[str, float] = field(default_factory=dict)
    """Of the values of this epoch's steps."""
    counts: dict[str, int] = field(default_factory=dict)
    """Steps of this epoch that had each value."""
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def autocast(self) -> torch.autocast:
        """The context in which the network computes."""
        amp = precision(self.plan, self.device)
        kind = torch.float16 if amp == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype=kind, enabled=amp != "off")

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        recipe, progress = self.recipe, self.progress
        if recipe.schedule == "cosine":
            return recipe.learning_rate * warm_cosine(progress, recipe.warm_up)
        return recipe.learning_rate * warm_steps(progress, recipe.warm_up, recipe.drops)

    @property
    def best(self) -> dict[str, float] | None:
        """The row of the epoch with the best validation, None before the first."""
        rows = [row for row in self.history if "val_map" in row]
        return max(rows, key=lambda row: row["val_map"]) if rows else None

    @property
    def is_spent(self) -> bool:
        """Whether the validation has not become better for as long as the plan waits."""
        waited = [row for row in self.history if "val_map" in row and row["epoch"] > (self.best or row)["epoch"]]
        return self.plan.patience is not None and len(waited) >= self.plan.patience

    @property
    def is_finished(self) -> bool:
        """Whether no step is left to take."""
        return self.epoch == self.plan.epochs or self.is_spent

    @property
    def steps_per_epoch(self) -> int:
        """Steps in every epoch."""
        return self.pictures.sampler.steps_per_epoch

    @property
    def steps(self) -> int:
        """Done since the run's start."""
        return self.epoch * self.steps_per_epoch + self.step

    @property
    def total_steps(self) -> int:
        """Of the whole run."""
        return self.plan.epochs * self.steps_per_epoch

    @property
    def progress(self) -> float:
        """Share of the run that is done, 0..1."""
        return self.steps / self.total_steps

    def learns_besides(self) -> list[str]:
        """What it learns of the people besides who they are."""
        attributes, maps = len(self.pictures.unknown), self.provenance["label_maps"]
        told = f"part labels of {maps} of {len(self.pictures.samples)} pictures"
        return [*([f"{attributes} attributes"] if attributes else []), *([told] if maps else [])]

    def keys(self) -> Iterator[StepKey]:
        """The batches still to come."""
        for number in range(self.steps, self.total_steps):
            epoch, step = divmod(number, self.steps_per_epoch)
            yield StepKey(epoch, step, self.recipe.size_at(number / self.total_steps))

    def state(self) -> TrainingState:
        """What to save to go on from here."""
        return TrainingState(
            recipe=recipes.name_of(self.recipe),
            config=self.recipe.as_json(),
            plan=asdict(self.plan),
            network=self.network.state_dict(),
            optimizer=self.optimizer.state_dict(),
            scaler=self.scaler.state_dict(),
            epoch=self.epoch,
            step=self.step,
            sums=self.sums,
            counts=self.counts,
            history=self.history,
            provenance=self.provenance,
        )

    def resume(self, state: TrainingState) -> None:
        """Go on where `state` was saved.

        Raises:
            UserError: the run was begun with other pictures or from another model.
        """
        begun, now = state.provenance, self.provenance
        if begun.get("pictures_sha256") != now["pictures_sha256"]:
            raise UserError(
                f"the run was begun with other training pictures ({begun['pictures']} of {begun['data']}) than "
                f"those of {now['data']} ({now['pictures']}); choose another --out"
            )
        if begun.get("init_sha256") != now["init_sha256"]:
            raise UserError(
                f"the run was begun from {begun['init'] or 'random weights'}, not from "
                f"{now['init'] or 'random weights'}; choose another --out or the same --init"
            )
        if begun.get("teacher_sha256") != now.get("teacher_sha256"):
            raise UserError(
                f"the run was begun with the teacher {begun.get('teacher')}, not {now.get('teacher')}; choose another "
                "--out or the same --teacher"
            )
        self.network.load_state_dict(state.network)
        self.optimizer.load_state_dict(state.optimizer)
        self.scaler.load_state_dict(state.scaler)
        self.epoch, self.step, self.history = state.epoch, state.step, state.history
        self.sums, self.counts = state.sums, state.counts
        self.provenance = state.provenance


def start(
    data: ReidData, recipe: Recipe, plan: Plan, begin: Start, device: torch.device, share: tuple[int, int] = (0, 1)
) -> Run:
    """A run before its first step, with random weights; what it begins from is noted and not loaded.

    Args:
        data: the people.
        recipe: the network and its losses.
        plan: how long.
        begin: label maps, and what it will begin from.
        device: where it computes.
        share: this process's of the steps' identities, see `TrainingPictures`.

    Raises:
        UserError: the data does not fit the recipe or the plan.
    """
    if recipe.identities % share[1]:
        raise UserError(f"--identities {recipe.identities}: cannot be shared by {share[1]} processes; take a multiple")
    samples, held_out = _split(data.train(), plan.validate_identities)
    folder = data if isinstance(data, FolderDataset) else None
    attributes = folder.attributes() if folder and recipe.attribute_weight > 0 else None
    labels = begin.labels or (folder.part_labels() if folder else None)
    maps = _label_maps(recipe, begin, labels, samples)
    labels = labels if maps else None
    sampler = build_sampler(
        samples,
        identities_per_step=recipe.identities,
        pictures_per_identity=recipe.pictures,
        steps_per_epoch=plan.steps_per_epoch,
        seed=plan.seed,
    )
    pictures = TrainingPictures(
        samples, sampler, attributes, labels, parts=recipe.semantic_parts, augmentation=recipe.augment, share=share
    )
    torch.manual_seed(plan.seed)
    people = People(
        identities=len(pictures.labels),
        cameras=1 + max(pictures.cameras.values()),
        attribute_sizes=attributes.sizes if attributes else (),
        parsing=labels is not None,
    )
    network = build_training_network(recipe, people)
    network.to(device).to(memory_format=torch.channels_last)  # 1.3 to 1.5 times as fast as contiguous on CPUs
    provenance = origin(data, pictures, maps, begin.init or begin.weights, device)
    if begin.teacher:
        provenance |= {"teacher": begin.teacher.name, "teacher_sha256": sha256(begin.teacher)}
        provenance["learnt_before"] = [*learnt_from(begin.init or begin.weights), *learnt_from(begin.teacher)]
    provenance |= {"precision": precision(plan, device), "processes": share[1]}
    optimizer = build_optimizer(network, recipe)
    scaler = torch.amp.GradScaler(device.type, enabled=precision(plan, device) == "fp16")
    teacher = NetworkTeacher(begin.teacher, device) if begin.teacher else None
    return Run(recipe, plan, network.train(), optimizer, scaler, device, pictures, held_out, provenance, teacher)


def precision(plan: Plan, device: torch.device) -> Literal["off", "bf16", "fp16"]:
    """What the network computes in."""
    return plan.amp or ("bf16" if device.type == "cuda" else "off")


def _split(samples: list[Sample], held_out: int) -> tuple[list[Sample], list[Sample]]:
    """The pictures to train on, and those of the last `held_out` identities that both modalities show."""
    seen = {modality: {s.identity for s in samples if s.modality == modality} for modality in MODALITIES}
    searchable = sorted(seen["visible"] & seen["thermal"])
    if held_out >= len(searchable) > 0:
        raise UserError(
            f"--validate {held_out}: only {len(searchable)} people have pictures in both modalities; lower it"
        )
    away = set(searchable[len(searchable) - held_out :])
    return [s for s in samples if s.identity not in away], [s for s in samples if s.identity in away]


def _label_maps(recipe: Recipe, begin: Start, labels: PartLabels | None, samples: list[Sample]) -> list[Path]:
    """The label maps that a recipe will learn from.

    Raises:
        UserError: they were asked for, and the recipe does not use them or none belongs to a picture.
    """
    used = recipe.takes_part_labels and recipe.parsing_weight > 0
    if begin.labels and not used:
        raise UserError(
            "--parts: the recipe's numbers leave part labels out (parsing_weight or labels); drop one of both"
        )
    found = [path for sample in samples if (path := labels.path(sample))] if used and labels else []
    if begin.labels and not found:
        raise UserError(
            f"{begin.labels.labels}: holds no map of the {len(samples)} training pictures; a/b.jpg has a/b.png"
        )
    return found
