from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from edge_reid.errors import UserError
from edge_reid.live.options import Options, parse, read_options

ROOT = Path(__file__).parents[2]


def write(folder: Path, text: str) -> Path:
    path = folder / "app.toml"
    path.write_text(text)
    return path


def test_the_command_line_overrides_the_file_and_the_file_the_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, 'visible = "a.mp4"\nthermal = "b.mp4"\noffline = true\nevents = "out/e.jsonl"\n')
    options = parse(None, ["--config", str(path), "--thermal", "c.mp4"])
    assert (options.visible, options.thermal, options.offline) == ("a.mp4", "c.mp4", True)
    assert options.events == Path("out/e.jsonl")
    assert options.detector == Options(visible="", thermal="").detector
    assert parse(None, [f"--config={path}"]).thermal == "b.mp4"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--thermal"),
        (["--thermal", "b", "--visibel", "rtsp://me:hunter2@h/x"], "--visibel"),
        (["--thermal", "rtsp://me:hunter2@h/x", "--max-frames", "ten"], "--max-frames"),
        (["--thermal", "b", "--engine", "foo"], "'foo'"),
        (["--thermal", "b", "--max-frames", "0"], "--max-frames needs at least 1"),
    ],
)
def test_a_wrong_command_line_is_one_line_without_a_password(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, 'visible = "rtsp://me:hunter2@camera/x"\n')
    with pytest.raises(UserError) as error:
        parse(None, ["--config", str(path), *words])
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert "hunter2" not in str(error.value) + "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("line", "needed"),
    [
        ("gallery_key = 'k'", "--gallery-key does nothing without --gallery;"),
        ("keep_crops = true", "--keep-crops does nothing without --gallery;"),
        ("event_names = true", "--event-names does nothing without --events;"),
        ("web_token = 't'", "--web-token does nothing without --web;"),
    ],
)
def test_what_would_do_nothing_alone_is_refused(line: str, needed: str, tmp_path: Path) -> None:
    name, _, value = line.replace("'", "").replace("_", "-").partition(" = ")
    words = ["--visible", "a", "--thermal", "b"]
    with pytest.raises(UserError, match=f"^{needed}"):
        parse(None, [*words, f"--{name}", *([] if value == "true" else [value])])
    path = write(tmp_path, f"{line}\n")
    with pytest.raises(UserError, match=f"^{needed}"):
        parse(None, ["--config", str(path), *words])
    parse(None, ["--config", str(path), *words, "--gallery", "g", "--events", "e", "--web"])


def test_a_page_that_a_file_asks_for_may_be_left_out_with_its_token(tmp_path: Path) -> None:
    path = write(tmp_path, 'visible = "a"\nthermal = "b"\nweb = true\nweb_token = "t"\n')
    assert parse(None, ["--config", str(path)]).web
    assert not parse(None, ["--config", str(path), "--no-web"]).web


def test_help_shows_no_password_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, 'visible = "rtsp://me:hunter2@camera/x"\n')
    with pytest.raises(SystemExit) as ended:
        parse("About.", ["--config", str(path), "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "--visible" in told and "hunter2" not in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('visibel = "x"', "visibel: there is no such entry; did you mean visible?"),
        ("xyzzy = 1", "choose from visible, thermal, "),
        ('engine = "foo"', "engine: "),
        ('max_frames = "ten"', "max_frames: "),
        ("web = 7.5", "web: "),
        ("= 3", "not TOML"),
        ("visible = 3", "visible: "),
        ("forget_after_hours = nan", "--forget-after-hours"),
        ("forget_named_after_days = -1", "--forget-named-after-days"),
        ("threshold = 2.0", "--threshold"),
        ("max_frames = 0", "--max-frames"),
        ("record_gigabytes = 0.01", "--record-gigabytes needs at least 0.1"),
        ("record_gigabytes = nan", "--record-gigabytes"),
        ('config = "x"', "config: a file cannot name another one"),
    ],
)
def test_a_wrong_entry_is_one_line_that_names_it(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read_options(write(tmp_path, text))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_options(tmp_path / "none.toml")
    with pytest.raises(UserError, match=rf"^{tmp_path}: cannot be read \(Is a directory\); give a TOML file"):
        read_options(tmp_path)


def test_the_example_holds_options_only() -> None:
    assert read_options(ROOT / "apps" / "service" / "edge-reid.toml").config is None
    assert {field.name for field in fields(Options)} >= {"visible", "thermal", "gallery", "web"}


def test_what_the_example_leaves_out_can_be_taken_in(tmp_path: Path) -> None:
    text = (ROOT / "apps" / "service" / "edge-reid.toml").read_text()
    options = read_options(write(tmp_path, re.sub(r"^#(?=\w+ = )", "", text, flags=re.MULTILINE)))
    assert all((options.bundle, options.homography, options.web_token, options.webhook, options.record))


VALUES: list[object] = [
    "",
    "x",
    "motion",
    "../up",
    "rtsp://u:p@h/",
    "0",
    0,
    -1,
    7,
    1e308,
    float("nan"),
    True,
    [],
    [1],
    {},
    "\x00",
    "é" * 999,
]


def fuzzed(rng: np.random.Generator) -> bytes:
    """A file of options with a few things wrong."""
    names = [field.name for field in fields(Options)]
    lines = []
    for _ in range(int(rng.integers(0, 6))):
        name = str(rng.choice(names))
        if rng.random() < 0.2:
            name = name[: int(rng.integers(len(name)))] + str(rng.choice(["x", ".", " ", "é", "\n", '"']))
        value = VALUES[int(rng.integers(len(VALUES)))]
        text = "{}" if value == {} else json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")
        lines.append(f"{name} = {text}")
    content = bytearray("\n".join(lines).encode())
    for _ in range(int(rng.integers(0, 3)) if content else 0):
        content[int(rng.integers(len(content)))] = int(rng.integers(256))
    return bytes(content)


def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path: Path) -> None:
    path, refused = tmp_path / "app.toml", 0
    for seed in range(300):
        path.write_bytes(fuzzed(np.random.default_rng(seed)))
        try:
            assert isinstance(read_options(path), Options)
        except UserError as error:
            refused += 1
            assert "\n" not in str(error) and str(path) in str(error), error
    assert 100 < refused < 290
