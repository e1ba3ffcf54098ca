"""Batches for training: read, augmented and stacked in worker processes.

Shapes: B pictures per modality and step, H x W their size, A attributes. Crops are uint8, `(B, H, W, 3)` BGR or
`(B, H, W)`; normalisation happens on the training device.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edge_reid.data.folder import Attributes, FolderDataset
from edge_reid.data.sampler import CrossModalitySampler
from edge_reid.data.transforms import augment
from edge_reid.errors import UserError
from edge_reid.losses.attribute_cross_entropy import UNKNOWN
from edge_reid.losses.parsing import IGNORE
from edge_reid.preprocess import read_crop, read_image
from edge_reid.types import Modality, Sample


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
        parts_of: FolderDataset | None,
    ) -> None:
        """Take the pictures that the sampler's plans index.

        Args:
            samples: training pictures.
            sampler: plans the epochs.
            attributes: of their identities, None to leave them out.
            parts_of: the data folder whose label maps are read, None to leave them out.
        """
        self.samples = samples
        self.sampler = sampler
        self.parts_of = parts_of
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
        halves = self._planned[1][step]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_seed_of(self.sampler.seed, epoch, step))
            (visible, visible_parts), (thermal, thermal_parts) = (
                self._read([self.samples[index] for index in half], size) for half in halves
            )
        chosen = [self.samples[index] for index in halves.reshape(-1)]
        targets = Targets(
            identities=torch.tensor([self.labels[sample.identity] for sample in chosen]),
            modalities=torch.arange(2).repeat_interleave(len(halves[0])),
            attributes=torch.tensor(
                [self.attributes.get(sample.identity, self.unknown) for sample in chosen], dtype=torch.int64
            ),
            parts=torch.cat([visible_parts, thermal_parts]),
        )
        return Batch(visible, thermal, targets)

    def _read(self, samples: Sequence[Sample], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        pairs = []
        for sample in samples:
            crop = torch.from_numpy(read_crop(sample.path, sample.modality, size))
            pairs.append(augment(crop, torch.from_numpy(self._read_parts(sample, size)), sample.modality))
        crops, labels = zip(*pairs, strict=True)
        return torch.stack(crops), torch.stack(labels)

    def _read_parts(self, sample: Sample, size: tuple[int, int]) -> NDArray[np.uint8]:
        path = self.parts_of.parts_path(sample) if self.parts_of else None
        if path is None:
            return np.full(size, IGNORE, np.uint8)
        return read_labels(path, size)


def read_labels(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Read a label map and bring it to `size` = (H, W) without mixing labels: `(H, W)` uint8."""
    modality: Modality = "thermal"  # one plane, values as they are
    labels = cv2.resize(read_image(path, modality), size[::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(labels, dtype=np.uint8)


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
