from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from edge_reid.errors import UserError
from edge_reid.live.options import parse, read_options
from edge_reid.live.service import notify, take_credentials

ROOT = Path(__file__).parents[2]
FILES = ROOT / "apps" / "service"
UNIT = FILES / "edge-reid.service"


def settings(name: str) -> list[str]:
    """The values that the unit gives to a setting."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


@pytest.mark.parametrize("abstract", [False, True])
def test_the_manager_gets_what_it_is_told(abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"@edge-reid-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + address[1:] if abstract else address)
        manager.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        notify("READY=1")
        notify("WATCHDOG=1")
        assert [manager.recv(100) for _ in range(2)] == [b"READY=1", b"WATCHDOG=1"]


def test_a_manager_that_is_absent_or_does_not_listen_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address in ("", "relative", str(tmp_path / "nobody"), "/" + "x" * 300):
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        for _ in range(5000):  # many more than its buffer holds
            notify("WATCHDOG=1")
        assert manager.recv(100) == b"WATCHDOG=1", "the first ones were taken, the rest is lost"


def test_credentials_become_variables_and_what_is_set_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    take_credentials()
    (tmp_path / "EDGE_REID_TEST_FIRST").write_text("of the file\n")
    (tmp_path / "EDGE_REID_TEST_SECOND").write_text("of the file\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("EDGE_REID_TEST_FIRST", "")  # so that it is taken away again
    monkeypatch.delenv("EDGE_REID_TEST_FIRST")
    monkeypatch.setenv("EDGE_REID_TEST_SECOND", "set before")
    take_credentials()
    assert os.environ["EDGE_REID_TEST_FIRST"] == "of the file"
    assert os.environ["EDGE_REID_TEST_SECOND"] == "set before"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a\0b"])
def test_a_credential_that_is_no_text_is_named_and_not_shown(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "EDGE_REID_TEST_THIRD").write_bytes(content)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(UserError, match=r"^credential EDGE_REID_TEST_THIRD: cannot be read \(not text\)"):
        take_credentials()


def test_the_example_holds_options_and_the_unit_runs_it() -> None:
    options = read_options(FILES / "edge-reid.toml")
    assert options.headless
    (command,) = settings("ExecStart")
    _, app, *words = shlex.split(command)
    assert (ROOT / app.removeprefix("/opt/edge-reid/")).is_file()
    assert words == ["--config", "/etc/edge-reid/edge-reid.toml"]
    (state,) = settings("WorkingDirectory")
    for path in (options.memory()[0], options.events):
        assert path is not None
        assert path.is_relative_to(state), "the only place that the service may write"


def test_credentials_of_the_unit_are_variables_that_the_program_reads() -> None:
    names = re.findall(r"LoadCredential=(\w+):", UNIT.read_text())
    program = "".join(path.read_text() for path in (ROOT / "edge_reid").rglob("*.py"))
    assert len(names) == 3
    assert all(f'"{name}"' in program for name in names)


ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")


@needs_systemd
def test_systemd_understands_every_line_of_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(settings("ExecStart")[0].split()[0], shutil.which("true") or "/bin/true"))
    assert ANALYZE is not None
    told = subprocess.run([ANALYZE, "verify", str(unit)], capture_output=True, text=True)
    lines = [line for line in told.stderr.splitlines() if UNIT.name in line]
    assert lines == []
    unit.write_text(unit.read_text().replace("NoNewPrivileges=yes", "NoNewPrivilege=yes"))
    told = subprocess.run([ANALYZE, "verify", str(unit)], capture_output=True, text=True)
    assert "NoNewPrivilege" in told.stderr, "it does look"


@needs_systemd
def test_the_service_is_confined() -> None:
    assert ANALYZE is not None
    told = subprocess.run(
        [ANALYZE, "security", "--offline=true", "--no-pager", str(UNIT)], capture_output=True, text=True
    )
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", told.stdout)
    if found is None:
        pytest.skip("this systemd-analyze cannot look at a file")
    assert float(found[1]) <= 2.5, "0 is locked up, 10 is anything goes"


def test_the_container_is_built_of_what_is_there_and_of_no_second_opencv() -> None:
    lines = (FILES / "Dockerfile.l4t").read_text().replace("\\\n", " ").splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY")]
    assert copied
    for names in copied:
        assert all((ROOT / name).exists() for name in names)
    installed = " ".join(line for line in lines if "pip install" in line and not line.startswith("#"))
    assert installed
    assert "opencv" not in installed.partition("-c ")[0]
    assert "camera" not in installed


def documented() -> list[str]:
    pages = ("jetson.md", "events.md", "app.md")
    text = "\n".join((ROOT / "docs" / name).read_text() for name in pages).replace("\\\n", " ")
    return [line.partition(" #")[0].strip() for line in text.splitlines() if "apps/dual_camera.py --" in line]


@pytest.mark.parametrize("line", documented())
def test_the_app_understands_its_lines_in_the_documentation(line: str, tmp_path: Path) -> None:
    words = shlex.split(line[line.index("apps/dual_camera.py") :])[1:]
    config = tmp_path / "edge-reid.toml"
    config.write_text((FILES / "edge-reid.toml").read_text())
    words = [str(config) if word == "/etc/edge-reid/edge-reid.toml" else word for word in words]
    options = parse(
        None, words if "--visible" in words or "--config" in words else [*words, "--visible=0", "--thermal=1"]
    )
    assert options.visible
    assert options.thermal
