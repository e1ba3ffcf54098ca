"""A run: how long it is and where it stands, made from a data folder and a recipe or from a checkpoint."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

import edge_reid
from edge_reid import recipes
from edge_reid.data.folder import Attributes, FolderDataset
from edge_reid.data.loader import StepKey, TrainingPictures
from edge_reid.data.sampler import build_sampler
from edge_reid.data.sets import ReidData
from edge_reid.errors import UserError
from edge_reid.files import sha256
from edge_reid.models.build import TrainingNetwork, build_training_network
from edge_reid.recipes.sdm_mgim import SdmMgim
from edge_reid.training.checkpoint import TrainingState, load_stored, trained_on
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
    amp: bool | None = None
    """Compute in bfloat16 under autocast. None: on CUDA only; CPUs with bfloat16 instructions gain from it, too."""

    def __post_init__(self) -> None:
        """Refuse what is no run."""
        if min(self.epochs, self.validate_identities, self.validate_every - 1) < 0:
            raise UserError("--epochs and --validate must be at least 0, and validation every epoch or more rarely")
        if self.steps_per_epoch is not None and self.steps_per_epoch < 1:
            raise UserError(f"--steps {self.steps_per_epoch}: must be at least 1")
        if self.seed < 0:
            raise UserError(f"--seed {self.seed}: must be at least 0")


@dataclass
class Run:
    """Everything that changes while a run goes on, and what it needs to."""

    recipe: SdmMgim
    plan: Plan
    network: TrainingNetwork
    optimizer: torch.optim.Optimizer
    device: torch.device
    pictures: TrainingPictures
    held_out: list[Sample]
    """Pictures of the identities kept for validation."""
    provenance: dict[str, Json]
    epoch: int = 0
    step: int = 0
    """Done in this epoch."""
    sums: dict[str, float] = field(default_factory=dict)
    """Of the values of this epoch's steps."""
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def amp(self) -> bool:
        """Whether the network computes in bfloat16."""
        return self.device.type == "cuda" if self.plan.amp is None else self.plan.amp

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
            epoch=self.epoch,
            step=self.step,
            sums=self.sums,
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
        self.network.load_state_dict(state.network)
        self.optimizer.load_state_dict(state.optimizer)
        self.epoch, self.step, self.sums, self.history = state.epoch, state.step, state.sums, state.history
        self.provenance = state.provenance


def start(data: ReidData, recipe: SdmMgim, plan: Plan, init: Path | None, device: torch.device) -> Run:
    """A run before its first step, with random weights; `init` is only noted.

    Raises:
        UserError: the data does not fit the recipe or the plan.
    """
    samples, held_out = _split(data.train(), plan.validate_identities)
    folder = data if isinstance(data, FolderDataset) else None
    attributes = folder.attributes() if folder and recipe.attribute_weight > 0 else None
    parts_of = folder if folder and recipe.parsing_weight > 0 and (data.root / "parts" / "train").is_dir() else None
    sampler = build_sampler(
        samples,
        identities_per_step=recipe.identities,
        pictures_per_identity=recipe.pictures,
        steps_per_epoch=plan.steps_per_epoch,
        seed=plan.seed,
    )
    pictures = TrainingPictures(samples, sampler, attributes, parts_of)
    torch.manual_seed(plan.seed)
    network = build_training_network(
        recipe,
        identities=len(pictures.labels),
        attribute_sizes=attributes.sizes if attributes else (),
        parsing=parts_of is not None,
    )
    network.to(device).to(memory_format=torch.channels_last)  # 1.3 to 1.5 times as fast as contiguous on CPUs
    provenance: dict[str, Json] = {
        "data": data.label,
        "identities": len(pictures.labels),
        "pictures": len(samples),
        "pictures_sha256": _fingerprint(samples, data.root, attributes, parts_of is not None),
        "init": init.name if init else None,
        "init_sha256": sha256(init) if init else None,
        "learnt_before": trained_on(load_stored(init).provenance) if init else [],
        "edge_reid": edge_reid.__version__,
        "torch": str(torch.__version__),  # a TorchVersion is no plain string: safe loading refuses it
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
    }
    return Run(recipe, plan, network.train(), _optimizer(network, recipe), device, pictures, held_out, provenance)


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


def _fingerprint(samples: list[Sample], root: Path, attributes: Attributes | None, has_parts: bool) -> str:
    """Of the pictures' names and sizes and of what else is learnt: other people, or new drawings, have another."""
    lines = [f"{sample.path.relative_to(root).as_posix()} {sample.path.stat().st_size}" for sample in samples]
    lines.append(f"{attributes} {has_parts}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _optimizer(network: TrainingNetwork, recipe: SdmMgim) -> torch.optim.Optimizer:
    """AdamW without decay of biases and BatchNorm."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
