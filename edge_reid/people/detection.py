"""What finds people in one frame, by the name under which a user asks for it: `NAME?key=value&key=value`.

Shapes: h, w the frame's size. A frame is uint8, `(h, w, 3)` BGR (visible) or `(h, w)` (thermal).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_reid.errors import UserError
from edge_reid.people.boxes import Detections
from edge_reid.types import Modality


class Detector(Protocol):
    """Finds people."""

    name: str
    """Short, fit to be shown."""
    description: str
    """What it is and how it works, in one line that begins with the name."""
    every: int
    """It is to be asked on every so-many-th frame; tracking fills those between."""

    def detect(self, frame: NDArray[np.uint8]) -> Detections:
        """The people in a frame."""


class DetectorOptions(BaseModel):
    """What every detector can be told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every: int = Field(1, ge=1, le=1000)


class NetworkOptions(DetectorOptions):
    """What a network can be told, where the graph does not say it."""

    family: str | None = None
    person: int | None = Field(None, alias="class", ge=0)
    score: float = Field(0.1, gt=0.0, lt=1.0)
    size: str | None = Field(None, pattern=r"^[1-9]\d{1,3}(x[1-9]\d{1,3})?$")


def load_detectors(common: str, own: Mapping[Modality, str | None]) -> dict[Modality, Detector]:
    """The detector of each camera: its own, or the one for all.

    Raises:
        UserError: see `load_detector`.
    """
    return {modality: load_detector(spec or common, modality) for modality, spec in own.items()}


def load_detector(spec: str, modality: Modality) -> Detector:
    """The detector that a user asks for, for a camera of this modality.

    Args:
        spec: `motion`, `hog`, `hot` or `onnx:FILE`, and options behind a question mark: `every=2` for all of them;
            `family=yolov8`, `class=0`, `score=0.3`, `size=416` or `size=WIDTHxHEIGHT` for networks.
        modality: what the camera sees; `hot` needs a thermal one.

    Raises:
        UserError: name, option or value is not known, the file is missing or of another kind, or this OpenCV lacks the
            method.
    """
    name, _, text = spec.partition("?")
    kind, _, file = name.partition(":")
    if name == "motion":
        from edge_reid.people.motion import MotionDetector

        return MotionDetector(modality, every=_options(spec, text, DetectorOptions).every)
    if name == "hog":
        from edge_reid.people.hog import HogDetector

        return HogDetector(every=_options(spec, text, DetectorOptions).every)
    if name == "hot":
        from edge_reid.people.hot import HotDetector

        if modality != "thermal":
            raise UserError(
                f"detector {spec}: finds warmth, and this camera is visible; choose motion, hog or onnx:FILE"
            )
        return HotDetector(every=_options(spec, text, DetectorOptions).every)
    if kind == "onnx" and file:
        from edge_reid.people.networks.detector import NetworkDetector

        options = _options(spec, text, NetworkOptions)
        sides = [int(side) for side in (options.size or "").split("x") if side]
        size = (sides[-1], sides[0]) if sides else None
        return NetworkDetector(
            Path(file), family=options.family, person=options.person, score=options.score, size=size,
            every=options.every,
        )  # fmt: skip
    raise UserError(f"detector {spec}: not known; choose motion, hog, hot or onnx:FILE")


def paced(description: str, every: int) -> str:
    """A detector's description, and how often it is asked."""
    return description if every == 1 else f"{description}, on one frame in {every}"


Options = TypeVar("Options", bound=DetectorOptions)


def _options(spec: str, text: str, kind: type[Options]) -> Options:
    values: dict[str, str] = {}
    known = [field.alias or name for name, field in kind.model_fields.items()]
    for word in filter(None, text.split("&")):
        key, _, value = word.partition("=")
        if key not in known:
            raise UserError(f"detector {spec}: has no option {key}; choose from {', '.join(known)}")
        if key in values:
            raise UserError(f"detector {spec}: {key} is given twice; leave one out")
        values[key] = value
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        hint = "give one number, or WIDTHxHEIGHT" if key == "size" else first["msg"]
        raise UserError(f"detector {spec}: {key}={values[key]}: {hint}") from error
