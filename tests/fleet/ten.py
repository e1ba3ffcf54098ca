"""Ten simulated devices, half an hour of sightings each, with kills and cuts, beside the same without.

    python tests/fleet/ten.py --seconds 600 --seed 1 --out runs/ten

Prints what happened, and whether the fleet holds the same people, looks, sightings and forgettings in the end.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pgserver
import psycopg
from cable import Cable
from device import DIMENSION, SPACE, life

from edge_reid.fleet.address import Address, connected
from edge_reid.fleet.admission import admit
from edge_reid.fleet.schema import add_space, migrate

PLACES = [(site, f"gate-{number}") for site in ("north", "south") for number in range(5)]


@dataclass(frozen=True)
class Scale:
    """How many devices there are, and how often one is killed."""

    places: list[tuple[str, str]]
    kills: int


FULL = Scale(PLACES, 30)


@dataclass
class Faults:
    """What was done to the devices and to the network."""

    kills: int = 0
    cuts: int = 0
    bytes: int = 0
    """Over the network, both ways."""


def run(
    server: pgserver.PostgresServer,
    database: str,
    folder: Path,
    seconds: float,
    faults: random.Random | None,
    stack: contextlib.ExitStack,
    scale: Scale,
) -> Faults:
    """Let devices live, each in a process, in a database of their own; with `faults` they do not live in peace."""
    socket = str(server.get_postmaster_info().socket_dir)
    admin = Address.read(f"postgresql://postgres@/{database}?host={socket}")
    with psycopg.connect(host=socket, user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database}")  # type: ignore[arg-type]
    with connected(admin, bare=True) as connection:
        migrate(connection)
        add_space(connection, SPACE, DIMENSION)
        for site, device in scale.places:
            admit(connection, f"{database}_{site}_{device.replace('-', '_')}", site, device, None)
    cable, done, killed = Cable(socket), Faults(), time.monotonic()
    stack.callback(cable.close)
    folder.mkdir(parents=True)

    def start(place: tuple[str, str]) -> subprocess.Popen[bytes]:
        site, device = place
        url = f"postgresql://{database}_{site}_{device.replace('-', '_')}@127.0.0.1:{cable.port}/{database}"
        command = [sys.executable, str(Path(__file__).with_name("device.py")), str(folder), site, device, url]
        return subprocess.Popen([*command, str(seconds)])

    running = {place: start(place) for place in scale.places}
    stack.callback(lambda: [process.kill() for process in running.values()])
    while running:
        time.sleep(0.05)
        for place, process in list(running.items()):
            if process.poll() is not None:
                del running[place]
                if process.returncode != 0:
                    raise RuntimeError(f"{place} ended with {process.returncode}")
        pause = seconds / scale.kills
        if faults is not None and running and time.monotonic() > killed + pause and done.kills < scale.kills:
            killed = time.monotonic()
            place = faults.choice(sorted(running))
            running[place].kill()
            running[place].wait()
            running[place] = start(place)
            done.kills += 1
            if faults.random() < 0.5:
                cable.cut()
                time.sleep(faults.uniform(0, 2 * pause))
                cable.mend()
                done.cuts += 1
    done.bytes = cable.bytes
    return done


def digest(server: pgserver.PostgresServer, database: str) -> dict[str, Any]:
    """What the fleet holds, with nobody's number in it: those differ where a device was killed."""
    socket = str(server.get_postmaster_info().socket_dir)
    people: dict[tuple[str, str, int], dict[str, Any]] = {}
    with connected(Address.read(f"postgresql://postgres@/{database}?host={socket}")) as connection:
        for site, device, number, name, first, last in connection.execute(
            "SELECT site, device, number, name, extract(epoch FROM first_seen)::float8, "
            "extract(epoch FROM last_seen)::float8 FROM person"
        ):
            people[site, device, number] = {"name": name, "seen": [first, last], "looks": [], "sightings": []}
        for site, device, number, *one in connection.execute(
            "SELECT site, device, number, modality, quality::float8, extract(epoch FROM time)::float8, vector::text "
            "FROM prototype"
        ):
            people[site, device, number]["looks"].append(one)
        for site, device, number, *one in connection.execute(
            "SELECT site, device, number, camera, extract(epoch FROM began)::float8, extract(epoch FROM ended)::float8 "
            "FROM sighting"
        ):
            people[site, device, number]["sightings"].append(one)
        forgotten = connection.execute(
            "SELECT site, device, count(*), count(confirmed) FROM forgotten GROUP BY 1, 2 ORDER BY 1, 2"
        ).fetchall()
        same = connection.execute(
            "SELECT p.site, p.name, count(*) FROM person p WHERE name LIKE 'guest%%' GROUP BY 1, 2 ORDER BY 1, 2"
        ).fetchall()
    for person in people.values():
        person["looks"].sort()
        person["sightings"].sort()
    lines = sorted(json.dumps([site, device, person]) for (site, device, _), person in people.items())
    return {"people": lines, "forgotten": forgotten, "guests": same}


def compare(folder: Path, seconds: float, seed: int, scale: Scale = FULL) -> dict[str, Any]:
    """Both runs, and what they have left behind."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        server = pgserver.get_server(folder / "server", cleanup_mode="delete")
        stack.callback(server.cleanup)
        peaceful = run(server, "peace", folder / "peace", seconds, None, stack, scale)
        faults = run(server, "faults", folder / "faults", seconds, random.Random(seed), stack, scale)
        peace, disturbed = digest(server, "peace"), digest(server, "faults")
    held = [json.loads(line)[2] for line in peace["people"]]
    return {
        "steps": sum(len(life(*place)) for place in scale.places), "faults": asdict(faults), "same": peace == disturbed,
        "bytes_in_peace": peaceful.bytes,
        "people": len(held), "looks": sum(len(one["looks"]) for one in held),
        "sightings": sum(len(one["sightings"]) for one in held), "forgotten": peace["forgotten"],
        "missing": sorted(set(peace["people"]) - set(disturbed["people"])),
        "surplus": sorted(set(disturbed["people"]) - set(peace["people"])),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    result = compare(options.out.resolve(), options.seconds, options.seed)
    print(json.dumps({name: value for name, value in result.items() if name not in ("missing", "surplus")}, indent=1))
    for name in ("missing", "surplus"):
        for line in result[name][:4]:
            print(name, line)
    return 0 if result["same"] else 1


if __name__ == "__main__":
    sys.exit(main())
