"""Facts of machines that are not here, from trees of files like theirs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_reid.doctor import doctor, gpu
from edge_reid.machine import Camera, board, cameras, cuda, gpus, jetpack, processor


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def jetson(root: Path, release: str) -> Path:
    write(root, etc__nv_tegra_release=release)
    write(root / "proc/device-tree", model="NVIDIA Jetson Orin Nano Developer Kit\0")
    return root


@pytest.mark.parametrize(
    ("release", "l4t", "name", "tensorrt"),
    [
        ("# R32 (release), REVISION: 7.1, GCID: 1", "32.7.1", "4", (8, 2)),
        ("# R35 (release), REVISION: 1.0, GCID: 1", "35.1.0", "5.0", (8, 4)),
        ("# R35 (release), REVISION: 4.1, GCID: 1", "35.4.1", "5.1", (8, 5)),
        ("# R36 (release), REVISION: 3.0, GCID: 1", "36.3.0", "6.0", (8, 6)),
        ("# R36 (release), REVISION: 4.3, GCID: 38968081", "36.4.3", "6.1 or 6.2", (10, 3)),
        ("# R38 (release), REVISION: 2.0, GCID: 1", "38.2.0", "7.0 or 7.1", (10, 13)),
        ("# R39 (release), REVISION: 2.0, GCID: 1", "39.2.0", "7.2", (10, 16)),
        ("# R47 (release), REVISION: 1.0, GCID: 1", "47.1.0", "unknown", None),
        ("something else", "", "unknown", None),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 8 else "",
)
def test_l4t_tells_the_jetpack(
    tmp_path: Path, release: str, l4t: str, name: str, tensorrt: tuple[int, int] | None
) -> None:
    assert jetpack(tmp_path) is None
    assert jetpack(jetson(tmp_path, release)) == (l4t, name, tensorrt)


def test_a_jetson_is_told_with_what_its_system_brings(tmp_path: Path) -> None:
    jetson(tmp_path, "# R36 (release), REVISION: 4.3")
    write(tmp_path, **{"usr__local__cuda__version.json": '{"cuda": {"name": "CUDA SDK", "version": "12.6.11"}}'})
    check = gpu(tmp_path)
    assert check.state == "ok"
    assert check.detail == (
        "NVIDIA Jetson Orin Nano Developer Kit, L4T 36.4.3, JetPack 6.1 or 6.2 with TensorRT 10.3, CUDA 12.6.11"
    )


def test_a_jetson_that_is_too_old_for_the_tensorrt_engine_is_told_what_to_do(tmp_path: Path) -> None:
    check = gpu(jetson(tmp_path, "# R36 (release), REVISION: 3.0"))
    assert check.state == "absent"
    assert "JetPack 6.0 with TensorRT 8.6" in check.detail and "edge-reid needs TensorRT 10.3" in check.detail
    assert check.remedy.startswith("upgrade to JetPack 6.1")


def test_cuda_is_found_without_its_record_too(tmp_path: Path) -> None:
    assert cuda(tmp_path) is None
    (tmp_path / "usr/local/cuda-12.4").mkdir(parents=True)
    assert cuda(tmp_path) == "12.4"


def test_a_board_without_a_model_name_is_known_by_its_device_tree(tmp_path: Path) -> None:
    write(tmp_path, proc__cpuinfo="processor\t: 0\nFeatures\t: fp asimd asimddp crc32\n")
    write(tmp_path / "proc/device-tree", model="Raspberry Pi 5 Model B Rev 1.0\0")
    assert board(tmp_path) == "Raspberry Pi 5 Model B Rev 1.0"
    assert processor(tmp_path) == ("Raspberry Pi 5 Model B Rev 1.0", ["asimddp"])


def test_cameras_are_listed_by_name_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = {"video0": "FLIR Boson", "video2": "HD Webcam", "video3": "HD Webcam", "video10": "bcm2835-isp"}
    for device, name in names.items():
        write(tmp_path / "sys/class/video4linux" / device, name=f"{name}\n")
        if device != "video10":  # a driver may know one that the user's container does not have
            write(tmp_path / "dev", **{device: ""})
    assert cameras(tmp_path) == [
        Camera("FLIR Boson", ["/dev/video0"], True),
        Camera("HD Webcam", ["/dev/video2", "/dev/video3"], True),
    ]
    (line,) = (check for check in doctor(root=tmp_path) if check.name == "cameras")
    assert line.detail == "/dev/video0: FLIR Boson; /dev/video2, /dev/video3: HD Webcam"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may open everything")
def test_a_camera_that_the_user_may_not_open_comes_with_the_group(tmp_path: Path) -> None:
    write(tmp_path / "sys/class/video4linux/video0", name="FLIR Boson")
    write(tmp_path / "dev", video0="")
    (tmp_path / "dev/video0").chmod(0)
    (line,) = (check for check in doctor(root=tmp_path) if check.name == "cameras")
    assert (line.state, line.remedy) == ("problem", "sudo usermod -aG video $USER, and log in again")


def test_nvidia_smi_is_asked_and_may_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus() == []
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H200, 580.95.05, 143771 MiB'\n")
    program.chmod(0o755)
    assert gpus() == ["NVIDIA H200, driver 580.95.05, 143771 MiB"]
    assert gpu(tmp_path).detail == "NVIDIA H200, driver 580.95.05, 143771 MiB; no CUDA toolkit in /usr/local/cuda"
    program.write_text(
        "#!/bin/sh\necho 'NVIDIA-SMI has failed because it could not communicate with the driver'\nexit 9\n"
    )
    assert gpus() == []
    assert gpu(tmp_path).state == "absent"
