"""Batches for training: read, augmented and stacked in worker processes.

Shapes: B pictures per modality and step, H x W their size, A attributes. Crops are uint8, `(B, H, W, 3)` BGR or
`(B, H, W)`; normalisation happens on the training device.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edge_reid.data.folder import Attributes
from edge_reid.data.parts import PartLabels, read_labels
from edge_reid.data.sampler import CrossModalitySampler
from edge_reid.data.transforms import Augmentation, augment
from edge_reid.errors import UserError
from edge_reid.losses.attribute_cross_entropy import UNKNOWN
from edge_reid.preprocess import read_crop
from edge_reid.types import IGNORE, MODALITIES, Sample


class StepKey(NamedTuple):
    """Names a batch: the same key gives the same batch, in any process and after any interruption."""

    epoch: int
    step: int
    size: tuple[int, int]


class Targets(NamedTuple):
    """What is known of the rows of a step, visible first, then thermal."""

    identities: Tensor
    """`(2B,)` int64, contiguous labels."""
    modalities: Tensor
    """`(2B,)` int64, 0 visible, 1 thermal."""
    cameras: Tensor
    """`(2B,)` int64, the camera's place among those of its modality."""
    attributes: Tensor
    """`(2B, A)` int64, UNKNOWN where nothing is known."""
    parts: Tensor
    """`(2B, H, W)` uint8, IGNORE where nothing is known."""


class Batch(NamedTuple):
    """One training step's pictures."""

    visible: Tensor
    """`(B, H, W, 3)` uint8 BGR."""
    thermal: Tensor
    """`(B, H, W)` uint8."""
    targets: Targets


class TrainingPictures(Dataset["Batch | UserError"]):
    """The batch of a step, by its key, or why there is none."""

    def __init__(
        self,
        samples: Sequence[Sample],
        sampler: CrossModalitySampler,
        attributes: Attributes | None,
        labels: PartLabels | None,
        *,
        parts: int | None = None,
        augmentation: Augmentation = "synthetic",
        share: tuple[int, int] = (0, 1),
    ) -> None:
        """Take the pictures that the sampler's plans index.

        Args:
            samples: training pictures.
            sampler: plans the epochs.
            attributes: of their identities, None to leave them out.
            labels: their label maps, None to leave them out.
            parts: the largest part that their labels may show, None for any.
            augmentation: how pictures are changed.
            share: (r, n): only the r-th of n equal shares of each step's identities.
        """
        self.samples = samples
        self.sampler = sampler
        self.part_labels = labels
        self.parts = parts
        self.augmentation = augmentation
        self.share = share
        seen = [sorted({s.camera for s in samples if s.modality == modality}) for modality in MODALITIES]
        self.cameras = {
            (modality, camera): place
            for modality, cameras in zip(MODALITIES, seen, strict=True)
            for place, camera in enumerate(cameras)
        }
        identities = sorted({sample.identity for sample in samples})
        self.labels = {identity: label for label, identity in enumerate(identities)}
        self.unknown = (UNKNOWN,) * (len(attributes.sizes) if attributes else 0)
        self.attributes = attributes.values if attributes else {}
        self._planned = (-1, np.empty((0, 2, 0), np.intp))

    def __getitem__(self, key: StepKey) -> Batch | UserError:
        # returned and not raised: PyTorch would bring it from the worker as a text with a traceback in it
        try:
            return self.batch(key)
        except UserError as error:
            return error

    def batch(self, key: StepKey) -> Batch:
        """The pictures of a step.

        Raises:
            UserError: one of them cannot be read.
        """
        epoch, step, size = key
        if self._planned[0] != epoch:
            self._planned = (epoch, self.sampler.plan(epoch))
        own, of = self.share
        rows = np.array_split(np.arange(self._planned[1].shape[2]), of)[own]
        halves = self._planned[1][step][:, rows]
        # A seed for each row of the whole step: shares of it hold the very pictures that it does.
        seeds = [[_seed_of(self.sampler.seed, epoch, step, side, int(row)) for row in rows] for side in range(2)]
        with torch.random.fork_rng(devices=[]):
            (visible, visible_parts), (thermal, thermal_parts) = (
                self._read([self.samples[index] for index in half], side, size)
                for half, side in zip(halves, seeds, strict=True)
            )
        chosen = [self.samples[index] for index in halves.reshape(-1)]
        targets = Targets(
            identities=torch.tensor([self.labels[sample.identity] for sample in chosen]),
            modalities=torch.arange(2).repeat_interleave(len(halves[0])),
            cameras=torch.tensor([self.cameras[sample.modality, sample.camera] for sample in chosen]),
            attributes=torch.tensor(
                [self.attributes.get(sample.identity, self.unknown) for sample in chosen], dtype=torch.int64
            ),
            parts=torch.cat([visible_parts, thermal_parts]),
        )
        return Batch(visible, thermal, targets)

    def _read(self, samples: Sequence[Sample], seeds: Sequence[int], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        pairs = []
        for sample, seed in zip(samples, seeds, strict=True):
            crop = torch.from_numpy(read_crop(sample.path, sample.modality, size))
            parts = torch.from_numpy(self._read_parts(sample, size))
            torch.manual_seed(seed)
            pairs.append(augment(crop, parts, sample.modality, self.augmentation))
        crops, labels = zip(*pairs, strict=True)
        return torch.stack(crops), torch.stack(labels)

    def _read_parts(self, sample: Sample, size: tuple[int, int]) -> NDArray[np.uint8]:
        path = self.part_labels.path(sample) if self.part_labels else None
        if path is None:
            return np.full(size, IGNORE, np.uint8)
        return read_labels(path, size, self.parts)


def build_loader(pictures: TrainingPictures, keys: Iterable[StepKey], workers: int) -> DataLoader[Batch | UserError]:
    """Batches in the order of `keys`, read ahead by so many worker processes (0: in this one).

    Raises:
        UserError: fewer than no workers.
    """
    if workers < 0:
        raise UserError(f"--workers {workers}: needs 0 or more")
    return DataLoader(
        pictures,
        batch_size=None,
        sampler=keys,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_start_worker,
        # A fork copies the locks of OpenCV's and OpenMP's thread pools without their threads, and then waits for ever.
        multiprocessing_context="spawn" if workers else None,
    )


def _start_worker(_: int) -> None:
    # Ctrl-C reaches the whole process group; the training loop still needs the batch it waits for.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def _seed_of(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])
