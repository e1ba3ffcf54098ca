"""A bundle: the folder that a device needs and nothing else, with a manifest of what is in it and how good it is.

Written whole or not at all; a file is handed out only after its bytes were checked against the manifest, and the
manifest against its own checksum.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError, field_validator

from edge_reid.errors import UserError
from edge_reid.files import atomic_file, sha256
from edge_reid.matching_rule import MatchingRule, Thresholds
from edge_reid.types import Modality

__all__ = [
    "MANIFEST", "SCHEMA_VERSION", "Accuracy", "Bundle", "BundleFile", "Calibration", "Cosines", "Layers", "Manifest",
    "MatchingRule", "Precision", "Provenance", "Result", "Thresholds", "describe", "write_manifest",
]  # fmt: skip

SCHEMA_VERSION = 4

MANIFEST = "manifest.json"

Precision = Literal["fp32", "fp16", "int8"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BundleFile(_Model):
    """One file of the bundle."""

    name: str
    modality: Literal["visible", "thermal", "both"]
    precision: Precision
    backend: str
    """The engine that opens it: "onnxruntime", "torch"; "tensorrt": what `edge-reid compile` builds from."""
    sha256: str
    bytes: int

    @field_validator("name")
    @classmethod
    def _is_a_plain_name(cls, name: str) -> str:
        if not name or Path(name).name != name:
            raise ValueError("a file of a bundle lies in the bundle's own folder")
        return name

    def serves(self, modality: Modality) -> bool:
        """Whether the file computes this modality."""
        return self.modality in (modality, "both")


class Result(_Model):
    """One direction's accuracy; fractions 0..1."""

    query_modality: Modality
    gallery_modality: Modality
    rank1: float
    rank5: float
    rank10: float
    mean_ap: float
    mean_inp: float
    identities: int
    queries: int
    trials: int
    protocol: str


class Cosines(_Model):
    """Of a graph's embeddings of the test pictures with those of the float32 graph."""

    mean: float
    percentile1: float
    """A hundredth of the pictures are below."""


class Accuracy(_Model):
    """Of one target's graphs, on the test people of the calibration's data folder, computed by onnxruntime."""

    target: str | None
    """None: the float32 graphs, which all targets have in common."""
    precision: Precision
    results: list[Result]
    """Thermal to visible and visible to thermal."""
    cosines: dict[Modality, Cosines]
    """Empty for float32."""


class Layers(_Model):
    """What of a graph is 8 bits."""

    convolutions: int
    rounded: int
    """Convolutions that compute in 8 bits."""
    given_back: list[str]
    """Layers that would be 8 bits but for the gate, the costliest first."""
    milliseconds: tuple[float, float] | None
    """What giving back costs: median of a crop in onnxruntime on the exporting machine, before and after."""


class Calibration(_Model):
    """The pictures of training people that fixed the INT8 ranges, and how."""

    method: str
    """From values to ranges."""
    equalized: bool
    """Whether the channels between the halves of a light convolution were given one range."""
    corrected: bool
    """Whether biases take back the mean error of rounded weights."""
    finetuned: int
    """Steps of quantisation-aware fine-tuning."""
    files: dict[Modality, list[str]]
    """Relative to the data folder."""
    sha256: str
    """Of their bytes, in this order."""
    layers: dict[str, dict[Modality, Layers]]
    """Per target."""


class Provenance(_Model):
    """Where the bundle comes from."""

    checkpoint: str
    checkpoint_sha256: str
    epoch: int
    data: str | None
    calibration: Calibration | None
    versions: dict[str, str]
    date: str
    command: str
    training: dict[str, JsonValue]
    """What the checkpoint says of itself."""


class Manifest(_Model):
    """Everything that a program must know before it opens a file of the bundle."""

    schema_version: int = SCHEMA_VERSION
    recipe: str
    config: dict[str, JsonValue]
    """All numbers of the recipe."""
    input_size: tuple[int, int]
    """(H, W) of the crops."""
    embedding_dim: int
    files: list[BundleFile]
    accuracy: list[Accuracy]
    """FP32 first; empty where no data folder was given."""
    matching: MatchingRule | None
    """Who counts as one person; None where no held-out people have been asked yet."""
    gate_passed: bool | None
    """Whether INT8 cost no more than the gate allows; None without INT8."""
    forced: bool
    """Written although the gate was not passed."""
    provenance: Provenance


@dataclass(frozen=True)
class Bundle:
    """An opened bundle."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path) -> Bundle:
        """Read the manifest of the bundle in folder `path`; its files are checked when they are used.

        Raises:
            UserError: there is no bundle, it is damaged, or this version is too old for it.
        """
        file = path / MANIFEST
        if not file.is_file():
            raise UserError(f"{path}: not a bundle (it has no {MANIFEST}); make one with `edge-reid export`")
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            digest, version = content.pop("sha256", None), content["schema_version"]
            if version != SCHEMA_VERSION:
                raise UserError(
                    f"{file}: written for schema {version}, this version reads {SCHEMA_VERSION}; upgrade edge-reid or "
                    "make the bundle again with `edge-reid export`"
                )
            manifest = Manifest.model_validate(content)
            if digest != _digest(content):
                raise UserError(f"{file}: changed since it was written; copy it again or run `edge-reid export ...`")
            return cls(path, manifest)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise UserError(
                f"{file}: {where}: {first['msg']}; make the bundle again with `edge-reid export`"
            ) from error
        except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{file}: not a manifest; make the bundle again with `edge-reid export`") from error

    @property
    def space(self) -> str:
        """16 hexadecimal digits that name the embedding space; vectors of one space can be compared.

        FP32 and INT8 of one checkpoint share it, for they nearly agree; subtracting means makes another one.
        """
        matching = self.manifest.matching
        origin = [self.manifest.provenance.checkpoint_sha256, matching.means if matching else None]
        return hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()[:16]

    def entries(self, modality: Modality, backend: str) -> list[BundleFile]:
        """The files that a backend can open for a modality."""
        return [file for file in self.manifest.files if file.serves(modality) and file.backend == backend]

    def file(self, modality: Modality, backend: str, precision: Precision) -> Path:
        """The path of a file whose bytes are those that were exported.

        Raises:
            UserError: the bundle has no such file, it is missing, or it was changed.
        """
        for entry in self.entries(modality, backend):
            if entry.precision == precision:
                return self._checked(entry)
        built = sorted({f"{file.backend} {file.precision}" for file in self.manifest.files if file.serves(modality)})
        wanted = f"{backend} {precision} file" if self.entries(modality, backend) else f"{backend} file"
        options = "--target tensorrt " * (backend == "tensorrt") + "--int8 " * (precision == "int8")
        raise UserError(
            f"{self.path}: holds no {wanted} for {modality}, only {', '.join(built)}; choose one of them or build it "
            f"with `edge-reid export {options}...`"
        )

    def _checked(self, entry: BundleFile) -> Path:
        path = self.path / entry.name
        if not path.is_file():
            raise UserError(f"{path}: missing from the bundle; copy it again or run `edge-reid export ...`")
        if sha256(path) != entry.sha256:
            raise UserError(f"{path}: changed since it was exported; copy it again or run `edge-reid export ...`")
        return path


def describe(
    path: Path, modality: Literal["visible", "thermal", "both"], backend: str, precision: Precision
) -> BundleFile:
    """The manifest's entry for a finished file."""
    return BundleFile(
        name=path.name,
        modality=modality,
        precision=precision,
        backend=backend,
        sha256=sha256(path),
        bytes=path.stat().st_size,
    )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write or replace the manifest of a folder, with a checksum of itself."""
    content = json.loads(manifest.model_dump_json())
    with atomic_file(folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(content | {"sha256": _digest(content)}, indent=1) + "\n", encoding="utf-8")


def _digest(content: dict[str, JsonValue]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
