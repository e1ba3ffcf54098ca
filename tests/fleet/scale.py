"""How a fleet's search does at size: builds a server with so many prototypes and measures it beside exact search.

    python tests/fleet/scale.py --people FOLDER --vectors 1000000 --out runs/scale.json

FOLDER holds people as `edge-reid synth` draws them. The vectors are drawn like the carried network's of these people:
normally distributed about their mean, people and pictures of one person each with the covariance measured.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pgserver
from numpy.typing import NDArray
from psycopg import Connection

from edge_reid.bundle import Bundle
from edge_reid.data.folder import FolderDataset
from edge_reid.fleet.address import Address, connected
from edge_reid.fleet.records import Filters
from edge_reid.fleet.schema import add_space, index_name, index_statement, migrate
from edge_reid.fleet.search import nearest
from edge_reid.gallery.enrolment import open_embed
from edge_reid.machine import processor
from edge_reid.preprocess import read_image, resize
from edge_reid.reference import bundle_path

SITES, DEVICES, LOOKS = 4, 100, 4
STEP = 10_000
"""People drawn at a time."""
DAY = 86400.0
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


def measure(
    connection: Connection[Any], everything: Vectors, queries: Vectors, allowed: NDArray[np.bool_], filters: Filters
) -> dict[str, float]:
    """Recall beside a product with all allowed vectors, and milliseconds per search."""
    kept = np.flatnonzero(allowed)
    right, right_ten, seconds = 0, 0.0, []
    for query in queries:
        began = time.perf_counter()
        hits = nearest(connection, (1, everything.shape[1]), query, "visible", most=10, filters=filters)
        seconds.append(time.perf_counter() - began)
        scores = everything[kept] @ query if len(kept) < len(everything) else everything @ query
        best = kept[np.argsort(-scores)[:10]]
        found = [(hit.person.number - 1, round(hit.score, 4)) for hit in hits]
        true = [(int(at) // LOOKS, round(float(everything[at] @ query), 4)) for at in best]
        right += abs(found[0][1] - true[0][1]) < 2e-4
        right_ten += sum(score >= true[-1][1] - 2e-4 for _, score in found) / len(true)
    times = np.quantile(seconds, (0.5, 0.95, 0.99)) * 1000
    return {
        "recall_1": right / len(queries), "recall_10": right_ten / len(queries), "searches": len(queries),
        "p50_ms": round(float(times[0]), 2), "p95_ms": round(float(times[1]), 2), "p99_ms": round(float(times[2]), 2),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--server", type=Path, default=Path("/tmp/edge-reid-scale"))
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
    options.server.mkdir(parents=True, exist_ok=True)
    server = pgserver.get_server(options.server / f"data-{options.vectors}", cleanup_mode="stop")
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
        for name, filters, allowed in (
            ("warm-up", Filters(), np.ones(len(everything), bool)),
            ("all", Filters(), np.ones(len(everything), bool)),
            ("one of 4 sites", Filters(site="site-1"), number % SITES == 1),
            (
                "one of 400 devices",
                Filters(site="site-1", device="device-7"),
                (number % SITES == 1) & (number // SITES % DEVICES == 7),
            ),
            ("the last of 30 days", Filters(since=1.77e9 + 28.5 * DAY), np.arange(len(everything)) % 30 == 29),
        ):
            count = options.queries if name == "all" else 100
            result[name] = measure(connection, everything, queries[:count], allowed, filters)
            print(name, result[name], flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1))
    server.cleanup()


if __name__ == "__main__":
    main()
