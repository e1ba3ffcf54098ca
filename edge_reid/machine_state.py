"""The state that a machine is in while something is timed: clocks, heat, power, and who else is at work. Linux only.

Everything is read below `root`, so that a tree of files stands for any machine; what a machine does not tell is None.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_CPUS = "sys/devices/system/cpu/cpu[0-9]*"

ADAPTIVE_DRIVERS = ("intel_pstate", "amd-pstate-epp")
"""Their governor called powersave follows the load, unless the energy preference says otherwise."""


@dataclass(frozen=True)
class ProcessorTime:
    """Seconds since the machine started, of all processors together."""

    busy: float
    idle: float
    stolen: float
    """Taken by other virtual machines."""
    own: float
    """Of `busy`, those of this process and of its children that have ended."""


@dataclass(frozen=True)
class MachineState:
    """One moment of a machine; None stands for what it does not tell."""

    processors: int | None = None
    allowed_processors: float | None = None
    """What a container's quota lets be used, None without one."""
    load_average: float | None = None
    """Of the last minute: this program and all others."""
    processor_time: ProcessorTime | None = None
    governors: tuple[str, ...] = ()
    """With the driver and the energy preference where they decide: "powersave (intel_pstate, balance_power)"."""
    mhz: tuple[float, float] | None = None
    """Slowest and fastest processor now."""
    most_mhz: float | None = None
    fixed_clocks: bool | None = None
    """Whether the processors' lowest and highest frequency are one, as `jetson_clocks` makes them."""
    celsius: float | None = None
    """The hottest sensor."""
    throttlings: int | None = None
    """How often processors were slowed down for heat since the machine started."""
    cooling: tuple[str, ...] = ()
    """Brakes that are on now, "cpufreq-cpu0 2 of 10"."""
    on_battery: bool | None = None
    memory_mib: float | None = None
    available_mib: float | None = None
    power_mode: str | None = None
    """Of a Jetson's nvpmodel, by name."""
    gpu_mhz: tuple[float, float, float] | None = None
    """A Jetson's: lowest, now, highest."""
    gpu: str | None = None
    """What nvidia-smi says of clocks, temperature, power and brakes."""


def machine_state(root: Path = Path("/"), nvidia_smi: str = "nvidia-smi") -> MachineState:
    """Read everything now."""
    load = _text(root / "proc" / "loadavg")
    memory = dict(re.findall(r"^(\w+):\s+(\d+) kB", _text(root / "proc" / "meminfo") or "", re.MULTILINE))
    now = _numbers(root, "cpufreq/scaling_cur_freq") or _cpuinfo_mhz(root)
    most = _numbers(root, "cpufreq/cpuinfo_max_freq")
    bounds = [_numbers(root, f"cpufreq/scaling_{end}_freq") for end in ("min", "max")]
    throttlings = _numbers(root, "thermal_throttle/core_throttle_count")
    return MachineState(
        processors=len(list(root.glob(_CPUS))) or None,
        allowed_processors=_quota(root),
        load_average=float(load.split()[0]) if load else None,
        processor_time=_processor_time(root),
        governors=_governors(root),
        mhz=(min(now) / 1e3, max(now) / 1e3) if now else None,
        most_mhz=max(most) / 1e3 if most else None,
        fixed_clocks=bounds[0] == bounds[1] if all(bounds) else None,
        celsius=hottest(root),
        throttlings=int(sum(throttlings)) if throttlings else None,
        cooling=_cooling(root),
        on_battery=_on_battery(root),
        memory_mib=_mib(memory.get("MemTotal")),
        available_mib=_mib(memory.get("MemAvailable")),
        power_mode=_power_mode(root),
        gpu_mhz=_jetson_gpu(root),
        gpu=_nvidia(nvidia_smi),
    )


def describe(state: MachineState) -> str:
    """The state in a line, without what is not known."""
    told: list[tuple[str, object]] = [
        ("load average", state.load_average),
        ("governor", ", ".join(state.governors)),
        ("MHz", _range(state.mhz, state.most_mhz)),
        ("hottest sensor", None if state.celsius is None else f"{state.celsius:.0f} °C"),
        ("brakes", ", ".join(state.cooling)),
        ("memory", _memory(state)),
        ("power mode", state.power_mode),
        ("GPU MHz", None if state.gpu_mhz is None else "{0:.0f} to {2:.0f}, now {1:.0f}".format(*state.gpu_mhz)),
        ("GPU", state.gpu),
        ("power", {None: None, True: "battery", False: "mains"}[state.on_battery]),
    ]
    return ", ".join(f"{name} {value}" for name, value in told if value not in (None, ""))


def _text(path: Path) -> str | None:
    """A file's text, None where it is not there or cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _numbers(root: Path, below: str) -> list[float]:
    """A number of every processor."""
    texts = (_text(path) for path in sorted(root.glob(f"{_CPUS}/{below}")))
    return [float(text) for text in texts if text and text.isdecimal()]


def _cpuinfo_mhz(root: Path) -> list[float]:
    """In kHz, as the other source has it; a virtual machine often has this one only."""
    found = re.findall(r"^cpu MHz\s*:\s*([\d.]+)", _text(root / "proc" / "cpuinfo") or "", re.MULTILINE)
    return [1e3 * float(mhz) for mhz in found]


def _quota(root: Path) -> float | None:
    """Processors of a container's `cpu.max`, "200000 100000"."""
    quota, _, period = (_text(root / "sys/fs/cgroup/cpu.max") or "max").partition(" ")
    return float(quota) / float(period) if quota.isdecimal() and period.isdecimal() else None


def _processor_time(root: Path) -> ProcessorTime | None:
    """From the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal."""
    found = re.match(r"cpu +([\d ]+)", _text(root / "proc" / "stat") or "")
    if found is None:
        return None
    ticks = [int(number) / os.sysconf("SC_CLK_TCK") for number in found[1].split()[:8]]
    ticks += [0.0] * (8 - len(ticks))
    user, nice, system, idle, waiting, irq, softirq, stolen = ticks
    own = sum(os.times()[:4])
    return ProcessorTime(user + nice + system + irq + softirq, idle + waiting, stolen, own)


def _governors(root: Path) -> tuple[str, ...]:
    names = set()
    for folder in root.glob(f"{_CPUS}/cpufreq"):
        governor = _text(folder / "scaling_governor")
        if governor is None:
            continue
        driver, preference = _text(folder / "scaling_driver"), _text(folder / "energy_performance_preference")
        if governor == "powersave" and driver in ADAPTIVE_DRIVERS:
            governor += f" ({driver}{f', {preference}' if preference else ''})"
        names.add(governor)
    return tuple(sorted(names))


def hottest(root: Path = Path("/")) -> float | None:
    """Degrees Celsius of the hottest sensor below `root`; None where there is none."""
    texts = [_text(zone) for zone in root.glob("sys/class/thermal/thermal_zone*/temp")]
    degrees = [int(text) / 1e3 for text in texts if text and text.isdecimal()]
    return max(degrees) if degrees else None


def _cooling(root: Path) -> tuple[str, ...]:
    """Cooling devices that slow processors down now; fans slow nobody down."""
    brakes = []
    for folder in sorted(root.glob("sys/class/thermal/cooling_device*")):
        kind, now, most = (_text(folder / name) or "" for name in ("type", "cur_state", "max_state"))
        if now.isdecimal() and int(now) > 0 and re.search(r"cpufreq|devfreq|processor|throttl", kind, re.IGNORECASE):
            brakes.append(f"{kind} {now} of {most}")
    return tuple(brakes)


def _on_battery(root: Path) -> bool | None:
    """A mains that is off, or a battery that is emptied while no mains tells anything."""
    supplies = list(root.glob("sys/class/power_supply/*"))
    mains = [_text(one / "online") for one in supplies if _text(one / "type") in ("Mains", "USB")]
    if any(online == "1" for online in mains):
        return False
    batteries = [_text(one / "status") for one in supplies if _text(one / "type") == "Battery"]
    if not batteries:
        return True if mains and all(online == "0" for online in mains) else None
    return "Discharging" in batteries


def _power_mode(root: Path) -> str | None:
    """The mode that nvpmodel has set, by its name in nvpmodel.conf: "MAXN", "15W"."""
    found = re.search(r"pmode:0*(\d+)", _text(root / "var/lib/nvpmodel/status") or "")
    if found is None:
        return None
    models = _text(root / "etc/nvpmodel.conf") or ""
    names = dict(re.findall(r"POWER_MODEL ID=(\d+) NAME=(\S+)", models))
    return names.get(found[1], found[1])


def _jetson_gpu(root: Path) -> tuple[float, float, float] | None:
    for folder in sorted(root.glob("sys/class/devfreq/*")):
        if re.search(r"gpu|ga10b|gv11b|gp10b", folder.name):
            texts = [_text(folder / f"{name}_freq") or "" for name in ("min", "cur", "max")]
            if all(text.isdecimal() for text in texts):
                lowest, now, highest = (int(text) / 1e6 for text in texts)
                return lowest, now, highest
    return None


_SMI = ("name", "clocks.sm", "clocks.max.sm", "temperature.gpu", "power.draw", "clocks_throttle_reasons.active")


def _nvidia(command: str) -> str | None:
    """The first GPU's state by nvidia-smi, None without one."""
    if shutil.which(command) is None:
        return None
    asked = [command, f"--query-gpu={','.join(_SMI)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    values = [value.strip() for value in (done.stdout.splitlines() or [""])[0].split(",")]
    if done.returncode or len(values) != len(_SMI):
        return None
    name, clock, most, degrees, watts, reasons = values
    return f"{name} at {clock} of {most}, {degrees} °C, {watts}, clock limits {reasons}"


def _mib(kilobytes: str | None) -> float | None:
    return None if kilobytes is None else int(kilobytes) / 1024


def _memory(state: MachineState) -> str | None:
    if state.memory_mib is None or state.available_mib is None:
        return None
    return f"{state.available_mib / 1024:.1f} of {state.memory_mib / 1024:.1f} GiB free"


def _range(now: Iterable[float] | None, most: float | None) -> str | None:
    if now is None:
        return None
    slowest, fastest = now
    text = f"{slowest:.0f}" if round(slowest) == round(fastest) else f"{slowest:.0f} to {fastest:.0f}"
    return text if most is None else f"{text} of {most:.0f}"
