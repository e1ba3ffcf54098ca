"""What a benchmark measures, and the record that it leaves: one JSON document that every table is made from."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, JsonValue

from edge_reid.bundle import Precision
from edge_reid.engines.choice import Choice
from edge_reid.machine_state import MachineState
from edge_reid.types import Modality

RECORD_VERSION = 1


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Kind(NamedTuple):
    """What computes: an engine with a precision; both modalities of one kind are searched in each other."""

    engine: str
    precision: Precision

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


class Row(_Model):
    """One engine at one batch size. Times are of whole calls, from numpy array to numpy array."""

    engine: str
    precision: Precision
    modality: Modality
    """Of the crops."""
    batch: int
    rival: bool = False
    """Not an engine of the bundle but what one could take instead of it."""
    threads: int | None = None
    samples: int = 0
    """Calls that were timed."""
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    mean_ms: float | None = None
    images_per_second: float | None = None
    """At the median."""
    round_ms: list[float] = []
    """The median of every round, in order."""
    spread: float | None = None
    """Of the rounds' medians: their interquartile range over 1.35 (a standard deviation, were they normal), as a share
    of the median."""
    drift: float | None = None
    """Of the last third of the rounds against the first third, as a share."""
    settled: bool = False
    """Whether successive medians agreed when the warm-up ended."""
    device_ms: float | None = None
    """Computation by the GPU's own clock; None where the engine cannot tell."""
    copy_ms: float | None = None
    """Copies to the GPU and back by its own clock."""
    file_bytes: int | None = None
    load_seconds: float | None = None
    """To open the file, libraries already imported."""
    cold_start_seconds: float | None = None
    """From the start of a process to its first embedding: Python, imports, checksums, loading, one call."""
    peak_bytes: int | None = None
    """Most memory that this process held, its largest batch included."""
    rank1: float | None = None
    """With queries of this modality and a gallery of the other, both through the same engine and precision."""
    mean_ap: float | None = None
    rank1_change: float | None = None
    """Percentage points against FP32 in eager PyTorch, or in ONNX Runtime where there is no PyTorch."""
    mean_ap_change: float | None = None
    protocol: str | None = None
    """How rank-1 and mAP were measured."""
    cosine_mean: float | None = None
    """Of embeddings with those of `cosine_with`, on the test pictures, or on made-up crops without a data folder."""
    cosine_p01: float | None = None
    """First percentile."""
    cosine_minimum: float | None = None
    cosine_with: str | None = None
    error: str | None = None
    """Why the row has no numbers."""

    @property
    def kind(self) -> Kind:
        """Engine and precision."""
        return Kind(self.engine, self.precision)

    @property
    def label(self) -> str:
        """For sentences."""
        return f"{self.kind} {self.modality} batch {self.batch}"


class BundleFacts(_Model):
    """Which bundle was measured."""

    path: str
    manifest_sha256: str
    recipe: str
    input_size: tuple[int, int]
    embedding_dim: int


class Layer(_Model):
    """One layer of a profile."""

    name: str
    operator: str
    milliseconds: float
    """Of one call, mean."""


class Profile(_Model):
    """Where the time of one call with one crop goes, by the engine's own profiler."""

    engine: str
    precision: Precision
    modality: Modality
    layers: list[Layer]
    """Slowest first."""


class Record(_Model):
    """One run of the benchmark."""

    record_version: int = RECORD_VERSION
    date: str
    command: str
    edge_reid: str
    bundle: BundleFacts
    data: str | None
    """Whose test people gave rank-1 and mAP."""
    seconds: float
    """Of timing per row."""
    batches: list[int]
    machine: dict[str, JsonValue]
    before: MachineState
    after: MachineState
    warnings: list[str]
    """Why the figures are worth little, if they are."""
    rows: list[Row]
    advice: list[str]
    """Whether fewer bits are worth it, a line per engine and batch."""
    choice: Choice | None
    verdict: str
    """Which engine and precision this machine should use, and why."""
    profiles: list[Profile] = []
