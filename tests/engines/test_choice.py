"""The choice that a benchmark keeps: when `load_engine` follows it, and when not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from edge_reid.bundle import Bundle, write_manifest
from edge_reid.engines import load_engine
from edge_reid.engines.choice import Choice, Chosen, Here, choice_path, here, selection, write_choice
from edge_reid.types import MODALITIES


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Bundle:
    shutil.copytree(tiny_bundle, tmp_path / "bundle")
    return Bundle.open(tmp_path / "bundle")


def keep(bundle: Bundle, backend: str = "openvino", **other: Any) -> Here:
    """A choice of FP32 that was made here, but for what differs."""
    place = here(bundle, ["onnxruntime", "openvino"]).model_copy(update=other)
    engines = {modality: Chosen(backend=backend, precision="fp32", p50_ms=1.25) for modality in MODALITIES}
    write_choice(bundle, Choice(here=place, engines=engines, date="2030", command="edge-reid benchmark"))
    return place


def opened(bundle: Bundle, **asked: Any) -> tuple[str, str]:
    engine = load_engine(bundle, "visible", **asked)
    facts = engine.facts
    engine.close()
    return facts.backend, facts.precision


def test_without_a_choice_the_default_is_opened(bundle: Bundle) -> None:
    assert opened(bundle) == ("onnxruntime", "int8")
    assert selection(bundle, "visible").reason == ("the default; `edge-reid benchmark` measures what is fastest here")


@pytest.mark.parametrize(("flags", "expected"), [([], "fp32"), (["avx_vnni"], "int8")])
def test_int8_for_vnni_is_not_the_default_of_an_x86_processor_without(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, flags: list[str], expected: str
) -> None:
    only_vnni = bundle.manifest.accuracy[0].model_copy(update={"target": "x86-vnni", "precision": "int8"})
    write_manifest(bundle.path, bundle.manifest.model_copy(update={"accuracy": [only_vnni]}))
    bundle = Bundle.open(bundle.path)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("edge_reid.machine.processor", lambda: ("Some Processor", flags))
    assert opened(bundle) == ("onnxruntime", expected)
    assert ("no VNNI" in selection(bundle, "visible").reason) is (expected == "fp32")
    assert opened(bundle, precision="int8") == ("onnxruntime", "int8"), "what is asked for wins"


def test_a_choice_that_was_made_here_is_followed(bundle: Bundle) -> None:
    place = keep(bundle)
    assert place.versions["openvino"] and place.processor and place.threads
    assert opened(bundle) == ("openvino", "fp32")
    assert selection(bundle, "thermal").reason == "choice.json, measured here at 1.25 ms a crop"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"backend": "onnxruntime"}, ("onnxruntime", "int8")),
        ({"precision": "int8"}, ("onnxruntime", "int8")),
        ({"backend": "torch"}, ("torch", "fp32")),
        ({"device": "cpu"}, ("onnxruntime", "int8")),
    ],
    ids=str,
)
def test_what_is_asked_for_wins(bundle: Bundle, asked: dict[str, str], expected: tuple[str, str]) -> None:
    keep(bundle)
    assert opened(bundle, **asked) == expected


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"processor": "Cortex-A78AE"}, "was made on Cortex-A78AE;"),
        ({"board": "Raspberry Pi 5"}, "Raspberry Pi 5;"),
        ({"threads": 64}, "was made with 64 threads;"),
        ({"versions": {"onnxruntime": "0.1"}}, "was made with onnxruntime 0.1;"),
        ({"versions": {"no-such-library": "0.1"}}, "was made with no-such-library 0.1;"),
        ({"manifest_sha256": "0"}, "was made for another bundle;"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_choice_of_another_machine_library_or_bundle_is_not_followed(
    bundle: Bundle, other: dict[str, Any], reason: str
) -> None:
    keep(bundle, **other)
    assert opened(bundle) == ("onnxruntime", "int8")
    said = selection(bundle, "visible").reason
    assert said.startswith("the default, because choice.json ") and reason in said


def test_an_exported_bundle_forgets_the_choice_of_the_one_before(bundle: Bundle) -> None:
    keep(bundle)
    write_manifest(bundle.path, bundle.manifest.model_copy(update={"forced": not bundle.manifest.forced}))
    assert opened(Bundle.open(bundle.path)) == ("onnxruntime", "int8")


@pytest.mark.parametrize("text", ["", "{}", '{"engines": {}}', "\xff\xfe"])
def test_a_damaged_choice_is_as_none(bundle: Bundle, text: str) -> None:
    keep(bundle)
    choice_path(bundle).write_bytes(text.encode("latin-1"))
    assert opened(bundle) == ("onnxruntime", "int8")
    assert "cannot be read" in selection(bundle, "visible").reason
