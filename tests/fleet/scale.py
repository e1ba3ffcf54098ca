"""How a fleet's search does at size: builds a server with so many prototypes and measures it beside exact search.

    python tests/fleet/scale.py --people FOLDER --vectors 1000000 --out runs/scale.json

FOLDER holds people as `edge-reid synth` draws them. The vectors are drawn like the carried network's of these people:
normally distributed about their mean, people and pictures of one person each with the covariance measured.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pgserver
import psycopg
from numpy.typing import NDArray
from psycopg import Connection

from edge_reid.bundle import Bundle
from edge_reid.data.folder import FolderDataset
from edge_reid.fleet import search, statements
from edge_reid.fleet.address import Address, connected
from edge_reid.fleet.records import Filters
from edge_reid.fleet.schema import add_space, index_name, index_statement, migrate
from edge_reid.fleet.search import nearest
from edge_reid.gallery.base import Prototype
from edge_reid.gallery.enrolment import open_embed
from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.machine import processor
from edge_reid.preprocess import read_image, resize
from edge_reid.reference import bundle_path

SITES, DEVICES, LOOKS = 4, 100, 4
STEP = 10_000
"""People drawn at a time."""
DAY = 86400.0
ROUNDING = 2e-5
"""Between a cosine of PostgreSQL's and one of NumPy's."""
Vectors = NDArray[np.float32]


@dataclass
class Likeness:
    """How embeddings spread: their mean `(D,)`, and roots of two covariances `(D, D)`."""

    mean: Vectors
    people: Vectors
    pictures: Vectors

    @classmethod
    def measured(cls, vectors: Vectors, identities: NDArray[np.int64]) -> Likeness:
        """Of unit vectors `(N, D)` of so many people."""
        centres = np.stack([vectors[identities == one].mean(0) for one in np.unique(identities)])
        rest = vectors - centres[np.searchsorted(np.unique(identities), identities)]
        return cls(centres.mean(0), _root(np.cov(centres.T)), _root(rest.T @ rest / (len(rest) - len(centres))))

    def draw_all(self, seed: int, people: int) -> Vectors:
        """The vectors that `fill` puts there."""
        random = np.random.default_rng(seed)
        steps = range(0, people, STEP)
        return np.concatenate([self.draw(random, min(STEP, people - start), LOOKS) for start in steps])

    def draw(self, random: np.random.Generator, people: int, looks: int) -> Vectors:
        """Unit vectors `(people * looks, D)`, those of one person in a row."""
        size = len(self.mean)
        centres = self.mean + random.standard_normal((people, size), np.float32) @ self.people
        pictures = random.standard_normal((people * looks, size), np.float32) @ self.pictures
        drawn = np.repeat(centres, looks, 0) + pictures
        return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


def _root(covariance: NDArray[np.float64]) -> Vectors:
    values, axes = np.linalg.eigh(covariance)
    return np.asarray((axes * np.sqrt(values.clip(0))).T, np.float32)


def embed_people(folder: Path, most: int) -> tuple[Vectors, NDArray[np.int64]]:
    """The carried network's vectors of visible pictures, and whose they are."""
    samples = [sample for sample in FolderDataset(folder).train() if sample.modality == "visible"][:most]
    bundle = Bundle.open(bundle_path())
    size = bundle.manifest.input_size
    with open_embed(bundle, "visible") as embed:
        parts = [
            embed(
                np.stack([resize(read_image(sample.path, "visible"), size) for sample in samples[start : start + 32]])
            )
            for start in range(0, len(samples), 32)
        ]
    return np.concatenate(parts), np.array([sample.identity for sample in samples])


def cosines(vectors: Vectors, identities: NDArray[np.int64]) -> dict[str, list[float]]:
    """Quantiles 5, 50, 95 % of those within one person and between two."""
    some = slice(0, 3000)
    products = vectors[some] @ vectors[some].T
    same = identities[some, None] == identities[None, some]
    upper = np.triu(np.ones_like(same), 1)
    return {
        name: [round(float(value), 3) for value in np.quantile(products[mask & upper], (0.05, 0.5, 0.95))]
        for name, mask in (("within", same), ("between", ~same))
    }


def build(connection: Connection[Any], likeness: Likeness, count: int) -> dict[str, float]:
    """Put so many prototypes there and index them, unless that was done; seconds and bytes."""
    index, result = index_name(1, "visible"), {}
    if connection.execute("SELECT count(*) FROM prototype").fetchone() != (count,):
        connection.execute(f"DROP INDEX IF EXISTS {index}")  # type: ignore[arg-type]
        connection.execute("TRUNCATE gallery CASCADE")
        began = time.perf_counter()
        fill(connection, likeness.draw_all(1, count // LOOKS))
        result["load_seconds"] = time.perf_counter() - began
        connection.execute("SET maintenance_work_mem = '8GB'")
        began = time.perf_counter()
        connection.execute(index_statement(1, len(likeness.mean), "visible"))
        result["build_seconds"] = time.perf_counter() - began
        connection.execute("ANALYZE prototype")
    for name, what in (("index_bytes", index), ("table_bytes", "prototype")):
        ((result[name],),) = connection.execute("SELECT pg_relation_size(%s)", (what,)).fetchall()
    return result


def fill(connection: Connection[Any], vectors: Vectors) -> None:
    """Put prototypes there, in order: so many people, at each device of each site in turn."""
    connection.execute(
        "INSERT INTO gallery (site, gallery, device, space, history) "
        "SELECT 'site-' || s, lpad(to_hex(s * 1000 + d), 12, '0'), 'device-' || d, 1, '30 days' "
        "FROM generate_series(0, %s) s, generate_series(0, %s) d",
        (SITES - 1, DEVICES - 1),
    )
    places = []
    with connection.cursor().copy(
        "COPY person (site, gallery, number, device, first_seen, last_seen) FROM STDIN"
    ) as copy:
        for person in range(len(vectors) // LOOKS):
            site, device = person % SITES, person // SITES % DEVICES
            places.append((f"site-{site}", f"{site * 1000 + device:012x}", f"device-{device}"))
            copy.write_row((*places[-1][:2], person + 1, places[-1][2], "2026-01-01", "2026-01-02"))
    with connection.cursor().copy(
        "COPY prototype (site, gallery, prototype, space, number, device, modality, quality, time, vector) "
        "FROM STDIN (FORMAT BINARY)"
    ) as copy:
        copy.set_types(["text", "text", "int8", "int2", "int8", "text", "text", "float4", "timestamptz", "vector"])
        for at, vector in enumerate(vectors):
            site_name, gallery, device_name = places[at // LOOKS]
            moment = datetime.fromtimestamp(1.77e9 + at % 30 * DAY, timezone.utc)
            copy.write_row((site_name, gallery, at, 1, at // LOOKS + 1, device_name, "visible", 1.0, moment, vector))


def brute_force(everything: Vectors, queries: Vectors, allowed: NDArray[np.bool_]) -> Vectors:
    """The ten best cosines `(N, 10)` of each query with the allowed vectors."""
    best = np.full((len(queries), 10), -2.0, np.float32)
    for start in range(0, len(everything), 50_000):
        block = slice(start, start + 50_000)
        scores = np.where(allowed[block], queries @ everything[block].T, np.float32(-2))
        best = -np.sort(-np.concatenate([best, -np.partition(-scores, 9)[:, :10]], 1))[:, :10]
    return best


def measure(connection: Connection[Any], queries: Vectors, true: Vectors, filters: Filters) -> dict[str, float]:
    """Recall beside the best cosines, and milliseconds per search of ten."""
    right, right_ten, seconds = 0, 0.0, []
    for query, best in zip(queries, true, strict=True):
        began = time.perf_counter()
        hits = nearest(connection, (1, len(query)), query, "visible", most=10, filters=filters)
        seconds.append(time.perf_counter() - began)
        found = np.array([hit.score for hit in hits])
        right += found[0] >= best[0] - ROUNDING
        right_ten += float((found >= best[9] - ROUNDING).mean())
    times = np.quantile(seconds, (0.5, 0.95, 0.99)) * 1000
    milliseconds = {name: round(float(one), 2) for name, one in zip(("p50_ms", "p95_ms", "p99_ms"), times, strict=True)}
    found = {"recall_1": round(float(right) / len(queries), 4), "recall_10": round(right_ten / len(queries), 4)}
    return {"searches": len(queries), **found, **milliseconds}


def measure_inserts(connection: Connection[Any], vectors: Vectors) -> float:
    """Milliseconds for each prototype in a device's batch; nothing of it stays."""
    key = {"site": "site-1", "gallery": f"{1000:012x}", "device": "device-0", "space": 1, "number": 2, "crop": None}
    with connection.transaction(force_rollback=True), connection.cursor() as cursor:
        began = time.perf_counter()
        rows = [
            key | {"prototype": 10**9 + at, "modality": "visible", "quality": 1.0, "time": 1.77e9, "vector": vector}
            for at, vector in enumerate(vectors)
        ]
        cursor.executemany(statements.PUT_PROTOTYPE, rows)
        return 1000 * (time.perf_counter() - began) / len(vectors)


def measure_file(likeness: Likeness, count: int, searches: int) -> dict[str, float]:
    """Eight queries at once to a gallery of one device, whose file holds so many prototypes of one modality."""
    vectors = likeness.draw_all(1, count // LOOKS)
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(
            SqliteGallery(Path(folder) / "people.gallery", space="drawn", dimension=vectors.shape[1])
        ) as gallery,
    ):
        for at, vector in enumerate(vectors):
            if at % LOOKS == 0:
                person = None
            person = gallery.add(Prototype("visible", vector, 1.0, time.time()), person)
            if at % 5000 == 0:
                gallery.flush()
        gallery.flush()
        seconds = []
        for query in likeness.draw(np.random.default_rng(7), searches, 8).reshape(searches, 8, -1):
            began = time.perf_counter()
            gallery.search(query, "visible")
            seconds.append(time.perf_counter() - began)
    times = np.quantile(seconds, (0.5, 0.95, 0.99)) * 1000
    return {name: round(float(one), 2) for name, one in zip(("p50_ms", "p95_ms", "p99_ms"), times, strict=True)}


def start(folder: Path) -> pgserver.PostgresServer:
    """A server with memory for the index, as a machine that does nothing else would give it."""
    for _ in range(2):  # the setting holds from the second start on
        server = pgserver.get_server(folder, cleanup_mode="stop")
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET shared_buffers = '6GB'")
            shown = connection.execute("SHOW shared_buffers").fetchone()
        if shown == ("6GB",):
            break
        server.cleanup()
    return server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--server", type=Path, default=Path("/tmp/edge-reid-scale"))
    parser.add_argument("--file", action="store_true", help="measure a device's gallery in a file instead")
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    real, identities = embed_people(options.people, 6000)
    likeness = Likeness.measured(real, identities)
    random = np.random.default_rng(99)
    drawn = likeness.draw(random, 700, LOOKS)
    result: dict[str, Any] = {
        "machine": processor(), "vectors": options.vectors, "people": options.vectors // LOOKS,
        "cosines": {"real": cosines(real, identities), "drawn": cosines(drawn, np.repeat(np.arange(700), LOOKS))},
    }  # fmt: skip
    print(result, flush=True)
    if options.file:
        result |= measure_file(likeness, options.vectors, options.queries)
        print(result)
        options.out.write_text(json.dumps(result, indent=1))
        return
    options.server.mkdir(parents=True, exist_ok=True)
    server = start(options.server / f"data-{options.vectors}")
    address = Address.read(f"postgresql://postgres@/postgres?host={server.get_postmaster_info().socket_dir}")
    with connected(address, bare=True) as connection:
        migrate(connection)
        add_space(connection, "drawn", len(likeness.mean))
    with connected(address) as connection:
        result |= build(connection, likeness, options.vectors)
        print(result, flush=True)
        everything = likeness.draw_all(1, options.vectors // LOOKS)
        # new pictures of people who are there
        chosen = random.integers(0, len(everything), options.queries)
        noise = random.standard_normal((options.queries, len(likeness.mean)), np.float32) @ likeness.pictures
        queries = everything[chosen] + noise * 0.7
        queries = np.asarray(queries / np.linalg.norm(queries, axis=1, keepdims=True), np.float32)
        number = np.arange(len(everything)) // LOOKS
        everybody = np.ones(len(everything), bool)
        true = brute_force(everything, queries, everybody)
        measure(connection, queries, true, Filters())  # reads the index into memory
        usual = search.EFFORT
        for search.EFFORT in (50, 100, 200, 400):
            result[f"ef_search {search.EFFORT}"] = measure(connection, queries, true, Filters())
            print(search.EFFORT, result[f"ef_search {search.EFFORT}"], flush=True)
        search.EFFORT = usual
        result["insert_ms"] = round(measure_inserts(connection, queries), 2)
        print("insert", result["insert_ms"], flush=True)
        at_device = (number % SITES == 1) & (number // SITES % DEVICES == 7)
        for name, filters, allowed in (
            ("one of 4 sites", Filters(site="site-1"), number % SITES == 1),
            ("one of 400 devices", Filters(site="site-1", device="device-7"), at_device),
            ("the last of 30 days", Filters(since=1.77e9 + 28.5 * DAY), np.arange(len(everything)) % 30 == 29),
        ):
            true = brute_force(everything, queries[:200], allowed)
            result[name] = measure(connection, queries[:200], true, filters)
            print(name, result[name], flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1))
    server.cleanup()


if __name__ == "__main__":
    main()
