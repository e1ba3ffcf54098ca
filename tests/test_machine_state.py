"""A machine's state, read from trees of files that stand for machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_reid.machine_state import describe, machine_state

NO_SMI = "no-such-nvidia-smi"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def processors(count: int, files: dict[str, str]) -> dict[str, str]:
    return {
        f"sys/devices/system/cpu/cpu{number}/{name}": text for number in range(count) for name, text in files.items()
    }


def test_a_laptop_on_battery(tmp_path: Path) -> None:
    cpufreq = {
        "cpufreq/scaling_governor": "powersave\n", "cpufreq/scaling_driver": "intel_pstate\n",
        "cpufreq/energy_performance_preference": "balance_power\n", "cpufreq/scaling_cur_freq": "800000\n",
        "cpufreq/cpuinfo_max_freq": "4200000\n", "cpufreq/scaling_min_freq": "400000\n",
        "cpufreq/scaling_max_freq": "4200000\n", "thermal_throttle/core_throttle_count": "3\n",
    }  # fmt: skip
    files = processors(4, cpufreq) | {
        "sys/devices/system/cpu/cpu3/cpufreq/scaling_cur_freq": "1900000\n",
        "sys/devices/system/cpu/cpufreq/boost": "1\n",
        "proc/loadavg": "0.35 0.20 0.15 1/300 4242\n",
        "proc/meminfo": "MemTotal:       16384000 kB\nMemFree: 1 kB\nMemAvailable:    8192000 kB\n",
        "proc/stat": "cpu  1000 200 300 5000 400 10 20 70 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n",
        "sys/class/thermal/thermal_zone0/temp": "45000\n",
        "sys/class/thermal/thermal_zone1/temp": "71500\n",
        "sys/class/thermal/cooling_device0/type": "Processor\n",
        "sys/class/thermal/cooling_device0/cur_state": "2\n",
        "sys/class/thermal/cooling_device0/max_state": "10\n",
        "sys/class/thermal/cooling_device1/type": "Fan\n",
        "sys/class/thermal/cooling_device1/cur_state": "1\n",
        "sys/class/thermal/cooling_device1/max_state": "1\n",
        "sys/class/power_supply/AC/type": "Mains\n",
        "sys/class/power_supply/AC/online": "0\n",
        "sys/class/power_supply/BAT0/type": "Battery\n",
        "sys/class/power_supply/BAT0/status": "Discharging\n",
    }
    state = machine_state(tree(tmp_path, files), NO_SMI)
    assert (state.processors, state.load_average) == (4, 0.35)
    assert state.governors == ("powersave (intel_pstate, balance_power)",)
    assert (state.mhz, state.most_mhz, state.fixed_clocks) == ((800, 1900), 4200, False)
    assert (state.celsius, state.throttlings, state.cooling) == (71.5, 12, ("Processor 2 of 10",))
    assert state.on_battery is True
    assert (state.memory_mib, state.available_mib) == (16000, 8000)
    assert state.processor_time is not None
    assert state.processor_time.busy == pytest.approx(15.3), "user, nice, system, irq and softirq, at 100 a second"
    assert (state.processor_time.idle, state.processor_time.stolen) == (54.0, 0.7)
    assert (state.power_mode, state.gpu, state.gpu_mhz, state.allowed_processors) == (None, None, None, None)
    assert describe(state) == (
        "load average 0.35, governor powersave (intel_pstate, balance_power), MHz 800 to 1900 of 4200, hottest sensor "
        "72 °C, brakes Processor 2 of 10, memory 7.8 of 15.6 GiB free, power battery"
    )


def test_a_jetson(tmp_path: Path) -> None:
    fixed = dict.fromkeys(
        ("cpufreq/scaling_min_freq", "cpufreq/scaling_cur_freq", "cpufreq/scaling_max_freq"), "1510400\n"
    )
    files = processors(6, fixed | {"cpufreq/scaling_governor": "schedutil\n"}) | {
        "var/lib/nvpmodel/status": "pmode:0001\n",
        "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=25W >\n< PM_CONFIG DEFAULT=1 >",
        "sys/class/devfreq/17000000.gpu/min_freq": "306000000\n",
        "sys/class/devfreq/17000000.gpu/cur_freq": "612000000\n",
        "sys/class/devfreq/17000000.gpu/max_freq": "1020000000\n",
        "sys/class/thermal/thermal_zone0/temp": "51000\n",
    }
    state = machine_state(tree(tmp_path, files), NO_SMI)
    assert (state.power_mode, state.gpu_mhz, state.fixed_clocks) == ("25W", (306, 612, 1020), True)
    assert state.on_battery is None
    assert "power mode 25W, GPU MHz 306 to 1020, now 612" in describe(state)


def test_a_container_in_a_virtual_machine(tmp_path: Path) -> None:
    files = processors(8, {"topology/core_id": "0\n"}) | {
        "sys/fs/cgroup/cpu.max": "150000 100000\n",
        "proc/cpuinfo": "model name : A\ncpu MHz\t\t: 2596.148\nmodel name : A\ncpu MHz\t\t: 2600.000\n",
    }
    state = machine_state(tree(tmp_path, files), NO_SMI)
    assert (state.processors, state.allowed_processors, state.mhz) == (8, 1.5, (2596.148, 2600.0))
    tree(tmp_path, {"sys/fs/cgroup/cpu.max": "max 100000\n"})
    assert machine_state(tmp_path, NO_SMI).allowed_processors is None


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    state = machine_state(tmp_path, NO_SMI)
    assert set(vars(state).values()) == {None, ()}
    assert describe(state) == ""


@pytest.mark.parametrize(
    ("mains", "battery", "expected"),
    [("1", "Charging", False), ("1", "Discharging", False), ("0", "Discharging", True), (None, "Full", False)],
)
def test_mains_or_battery(tmp_path: Path, mains: str | None, battery: str, expected: bool) -> None:
    files = {"BAT0/type": "Battery\n", "BAT0/status": f"{battery}\n"}
    files |= {} if mains is None else {"AC/type": "Mains\n", "AC/online": f"{mains}\n"}
    tree(tmp_path / "sys" / "class" / "power_supply", files)
    assert machine_state(tmp_path, NO_SMI).on_battery is expected


def test_nvidia_smi_is_asked_once_and_may_fail(tmp_path: Path) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'NVIDIA H200, 345 MHz, 1980 MHz, 31, 76.10 W, 0x0000000000000001'\n")
    smi.chmod(0o755)
    assert machine_state(tmp_path, str(smi)).gpu == (
        "NVIDIA H200 at 345 MHz of 1980 MHz, 31 °C, 76.10 W, clock limits 0x0000000000000001"
    )
    smi.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    assert machine_state(tmp_path, str(smi)).gpu is None


def test_this_machine_is_read_without_an_error() -> None:
    assert describe(machine_state())
