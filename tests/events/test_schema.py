from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edge_reid.errors import UserError
from edge_reid.events.schema import KINDS, VERSION, _Common, json_schema, parse

DOCUMENT = Path(__file__).parents[2] / "docs" / "events.md"
EXAMPLES = [
    line for block in re.findall(r"```json\n(.*?)```", DOCUMENT.read_text(), re.DOTALL) for line in block.splitlines()
]
COMMON = [field.alias or name for name, field in _Common.model_fields.items()]


def own_fields(name: str) -> dict[str, str]:
    """The fields that an event has beside the common ones, and what they mean."""
    fields = KINDS[name].model_fields
    return {
        key: field.description or "" for key, field in fields.items() if key not in (*_Common.model_fields, "event")
    }


def test_the_documentation_lists_every_event_with_its_fields() -> None:
    text = DOCUMENT.read_text()
    for name, kind in KINDS.items():
        fields = ", ".join(f"`{field}`" for field in own_fields(name))
        assert f"\n| `{name}` | {fields} | {(kind.__doc__ or '').strip()} |\n" in text
    assert re.findall(r"^\| `(\w+)` \| [`|]", text, re.MULTILINE) == list(KINDS)


def test_the_documentation_says_what_every_field_means() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([a-z_, ]+) \| (.*) \|$", DOCUMENT.read_text(), re.MULTILINE)
    said = {(name, field): meaning for field, names, meaning in rows for name in names.split(", ")}
    wanted = {(name, field): meaning for name in KINDS for field, meaning in own_fields(name).items()}
    for name, field in _Common.model_fields.items():
        wanted["all", field.alias or name] = field.description or ""
    assert said == wanted


def test_the_documentation_has_an_example_of_every_event() -> None:
    assert {json.loads(line)["event"] for line in EXAMPLES} == set(KINDS)


@pytest.mark.parametrize("line", EXAMPLES, ids=lambda line: json.loads(line)["event"])
def test_an_example_is_an_event_and_no_field_of_it_can_be_missing_or_another(line: str) -> None:
    event = json.loads(line)
    assert list(event)[: len(COMMON) + 1] == ["schema", "id", "run", "event", "stream_time", "wall_time"]
    assert parse(line).model_dump(mode="json", by_alias=True, exclude={"wall_time"}, exclude_unset=True) == {
        key: value for key, value in event.items() if key != "wall_time"
    }
    for key in event:
        if event["event"] != "identified" or key not in ("name", "score", "modality"):
            with pytest.raises(UserError, match=r"not an event of schema 2: .*; see docs/events.md"):
                parse(json.dumps({other: value for other, value in event.items() if other != key}))
        with pytest.raises(UserError):
            parse(json.dumps(event | {key: {"of": "another kind"}}))
    for more in ({"embedding": [0.1]}, {"picture": "..."}, {"schema": 1}, {"schema": 3}, {"id": "7"}):
        with pytest.raises(UserError):
            parse(json.dumps(event | more))


@pytest.mark.parametrize("line", ["", "{}", "[]", "nothing", '{"event": "party"}', b"\xff", "[" * 10_000])
def test_what_is_no_event_is_one_line(line: str | bytes) -> None:
    with pytest.raises(UserError, match="not an event of schema 2") as told:
        parse(line)
    assert "\n" not in str(told.value)


def test_the_json_schema_in_the_documentation_is_that_of_the_models() -> None:
    written = json.loads((DOCUMENT.parent / "events.schema.json").read_text())
    now = json.loads(json_schema())
    for schema in (written, now):  # its wording may change with pydantic, what it asks for does not
        schema["shape"] = {
            kind["properties"]["event"]["const"]: (set(kind["properties"]), set(kind["required"]))
            for kind in schema["$defs"].values()
        }
    assert written["shape"] == now["shape"]
    assert set(now["shape"]) == set(KINDS)
    assert {kind["properties"]["schema"]["const"] for kind in written["$defs"].values()} == {VERSION}
