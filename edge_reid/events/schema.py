"""What an event says: schema 2, one model for each kind of event, and the JSON Schema of all of them.

An event is one JSON object. No event holds an embedding or a picture, and none a name unless the user asked for names.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from edge_reid.errors import UserError
from edge_reid.types import Modality

VERSION = 2

Box = Annotated[list[float], Field(min_length=4, max_length=4)]


class _Common(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    schema_version: Literal[2] = Field(alias="schema", description="Version of this schema.")
    id: str = Field(
        pattern=r"^\d{8}T\d{6}Z-[0-9a-f]{8}-\d{9}$",
        description="Run and sequence number, which counts from 1 without a gap unless events were lost. Never given "
        "twice; sorts by time within a run.",
    )
    run: str = Field(description="The run of the program that told it: when it began (UTC) and eight random digits.")
    stream_time: float = Field(ge=0.0, description="Seconds since the run began; of the video's own time with files.")
    wall_time: datetime = Field(description="Time of day, ISO 8601, UTC, milliseconds.")


class Started(_Common):
    """The program runs."""

    event: Literal["started"]
    version: str = Field(description="Version of edge-reid.")


class Stopped(_Common):
    """The program ends in good order: the last event of its run, which is missing after a crash or a power cut."""

    event: Literal["stopped"]
    reason: Literal["ended", "requested", "failed"] = Field(
        description="The sources came to their end, someone asked for it, or an error did it."
    )


class Lost(_Common):
    """Events are missing, because the disk was full for long or the power was cut."""

    event: Literal["lost"]
    count: int = Field(ge=1, description="How many.")
    reason: Literal["behind", "torn"] = Field(
        description="behind: the disk took none for so long that memory was full; their numbers are left out. "
        "torn: the last line of an earlier run was cut short and has been removed."
    )


class _OfCamera(_Common):
    camera: Modality = Field(description="The camera concerned.")


class SourceLost(_OfCamera):
    """A camera is gone; it is being opened again."""

    event: Literal["source_lost"]


class SourceStalled(_OfCamera):
    """A camera is connected and sends nothing new."""

    event: Literal["source_stalled"]


class SourceBack(_OfCamera):
    """A camera sends again."""

    event: Literal["source_back"]


class SourceEnded(_OfCamera):
    """A file came to its end."""

    event: Literal["source_ended"]


class _OfTrack(_OfCamera):
    track: int = Field(ge=0, description="Number of the track; a camera's tracks of one run never share one.")


class TrackStarted(_OfTrack):
    """Someone came into a camera's view."""

    event: Literal["track_started"]
    person: int | None = Field(description="Number of the person, null where it is not known.")
    score: float = Field(ge=0.0, le=1.0, description="How sure the detector was at the last detection.")
    box: Box = Field(description="Left, top, right, bottom in pixels of the camera's picture.")


class TrackLost(_OfTrack):
    """Someone went out of a camera's view."""

    event: Literal["track_lost"]
    person: int | None = Field(description="Number of the person, null where it is not known.")
    score: float = Field(ge=0.0, le=1.0, description="How sure the detector was at the last detection.")
    box: Box = Field(description="Left, top, right, bottom in pixels of the camera's picture.")
    seen: float = Field(ge=0.0, description="Stream time of the last detection.")


class _OfLink(_Common):
    person: int | None = Field(description="Number of the person, null where it is not known.")
    visible_track: int = Field(ge=0, description="Number of the visible camera's track.")
    thermal_track: int = Field(ge=0, description="Number of the thermal camera's track.")
    score: float = Field(ge=-1.0, le=1.0, description="Cosine of their embeddings.")


class Matched(_OfLink):
    """A track of the visible and one of the thermal camera are the same person."""

    event: Literal["matched"]


class Unmatched(_OfLink):
    """They are no more."""

    event: Literal["unmatched"]
    reason: Literal["contradicted", "track_lost"] = Field(
        description="Later pictures said otherwise, or one of the tracks ended."
    )


class Identified(_OfTrack):
    """A track is someone of the gallery."""

    event: Literal["identified"]
    person: int = Field(ge=0, description="Number of the person in the gallery.")
    name: str | None = Field(default=None, description="Name of the person; only where the user asked for names.")
    score: float | None = Field(
        default=None,
        ge=-1.0,
        le=1.0,
        description="Cosine with what the gallery knows of the person; missing where it was not looks that told.",
    )
    modality: Modality | None = Field(
        default=None, description="Which camera had seen what the gallery knows; missing like the score."
    )


class Unidentified(_OfTrack):
    """A track is not the person any more that it was said to be."""

    event: Literal["unidentified"]
    person: int = Field(ge=0, description="Number of the person in the gallery.")


class PersonNew(_OfTrack):
    """A track is someone who was never seen before and now has a number in the gallery."""

    event: Literal["person_new"]
    person: int = Field(ge=0, description="Number of the person in the gallery.")


class PersonMerged(_Common):
    """Someone who had been given a new number is known under another one, which is theirs from then on."""

    event: Literal["person_merged"]
    person: int = Field(ge=0, description="Number of the person in the gallery.")
    was: int = Field(ge=0, description="The number that nobody has any more.")


class PersonEntered(_OfCamera):
    """Someone of the gallery is here who was in no camera's view."""

    event: Literal["person_entered"]
    person: int = Field(ge=0, description="Number of the person in the gallery.")


class PersonLeft(_OfCamera):
    """Someone of the gallery is in no camera's view any more."""

    event: Literal["person_left"]
    person: int = Field(ge=0, description="Number of the person in the gallery.")
    seconds: float = Field(ge=0.0, description="How long the person was here.")


Event: TypeAlias = (
    Started
    | Stopped
    | Lost
    | SourceLost
    | SourceStalled
    | SourceBack
    | SourceEnded
    | TrackStarted
    | TrackLost
    | Matched
    | Unmatched
    | Identified
    | Unidentified
    | PersonNew
    | PersonMerged
    | PersonEntered
    | PersonLeft
)

KINDS: dict[str, type[BaseModel]] = {
    get_args(kind.model_fields["event"].annotation)[0]: kind for kind in get_args(Event)
}
"""The models by the name of their event."""

_ANY: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def parse(line: str | bytes) -> Event:
    """The event of one line.

    Raises:
        UserError: it is none of this schema.
    """
    try:
        return _ANY.validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            f"not an event of schema {VERSION}: {'.'.join(map(str, first['loc']))}: {first['msg']}; see docs/events.md"
        ) from error


def json_schema() -> str:
    """The JSON Schema of an event, for programs that read them."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | _ANY.json_schema(by_alias=True)
    return json.dumps(schema, indent=1) + "\n"


if __name__ == "__main__":
    print(json_schema(), end="")
