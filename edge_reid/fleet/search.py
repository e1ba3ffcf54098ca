"""Searching the fleet by a vector: by HNSW where there are many, exactly where there are few or when asked.

Shapes: D the embedding.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection, sql

from edge_reid.fleet.records import Filters, FleetPerson, Hit
from edge_reid.types import Modality

FEW = 20_000
"""Prototypes, by the planner's estimate, that are compared one by one: exact, and quicker than an index that finds
mostly others."""

EFFORT = 200
"""hnsw.ef_search where nothing is left out, see docs/scale.md."""
MOST_EFFORT = 1000
"""pgvector's bound."""

LOOKS = 8
"""Prototypes to look at for each person asked for: so many of one modality one of them may have."""

ROUNDING = 1e-6
"""Between cosines of the same two vectors."""

_CONDITIONS = {
    "site": "site = %(site)s",
    "device": "device = %(device)s",
    "since": "time >= to_timestamp(%(since)s)",
    "until": "time <= to_timestamp(%(until)s)",
}


def nearest(
    connection: Connection[Any],
    space: tuple[int, int],
    vector: NDArray[np.float32],
    modality: Modality,
    *,
    most: int,
    filters: Filters | None = None,
    exact: bool = False,
) -> list[Hit]:
    """The nearest prototypes, best first; fewer than `most` only where the filters let no more through.

    Args:
        connection: as `edge_reid.fleet.address.connected` gives it.
        space: number of the model in the fleet, and D.
        vector: `(D,)`, unit norm.
        modality: of the prototypes.
        most: so many.
        filters: of which site, device and time.
        exact: compare all of them.
    """
    filters = filters or Filters()
    given = {name: value for name, value in asdict(filters).items() if value is not None}
    parameters = {"vector": vector, "most": most} | given
    with connection.transaction():
        effort = max(EFFORT, most)
        if given and not exact:
            fitting = _estimate(connection, _conditions(space[0], modality, filters), parameters)
            exact = fitting <= FEW
            # of what the index finds as many are left out
            effort = int(
                effort * _estimate(connection, _conditions(space[0], modality, Filters()), {}) / max(fitting, 1)
            )
        if not exact:
            limit = sql.Literal(min(MOST_EFFORT, max(EFFORT, effort)))
            connection.execute(sql.SQL("SET LOCAL hnsw.ef_search = {}").format(limit))
        rows = connection.execute(statement(space, modality, filters, exact=exact), parameters).fetchall()
        if not exact and len(rows) < most:  # the index found others first, whom the filters leave out
            rows = connection.execute(statement(space, modality, filters, exact=True), parameters).fetchall()
    return [
        Hit(FleetPerson(site, gallery, number), device, modality, score)
        for site, gallery, number, device, score in rows
    ]


@dataclass(frozen=True)
class Recall:
    """How the index does beside comparing everything, on prototypes that are there, each left out of its own search."""

    searches: int
    first: float
    """Share of the nearest that it finds."""
    ten: float
    """Share of the ten nearest that it finds."""
    index_ms: float
    """Median milliseconds of a search by the index."""
    exact_ms: float


def recall(connection: Connection[Any], space: tuple[int, int], modality: Modality, searches: int) -> Recall | None:
    """Measure the index of a model and modality; None where there are fewer than 12 prototypes."""
    own = sql.SQL("space = {} AND modality = {}").format(sql.Literal(space[0]), sql.Literal(modality))
    some = sql.SQL("SELECT vector FROM prototype WHERE {} ORDER BY random() LIMIT %s").format(own)
    queries = [row[0].to_numpy() for row in connection.execute(some, (searches,))]
    first, ten, times = [], [], {False: [0.0] * 0, True: [0.0] * 0}
    for query in queries:
        scores = {}
        for exact in (False, True):
            began = time.perf_counter()
            hits = nearest(connection, space, query, modality, most=11, exact=exact)
            times[exact].append(1000 * (time.perf_counter() - began))
            scores[exact] = np.array([hit.score for hit in hits[1:]])  # the first is the query itself
        if len(scores[True]) < 10:
            return None
        first.append(scores[False][0] >= scores[True][0] - ROUNDING)
        ten.append((scores[False] >= scores[True][-1] - ROUNDING).mean())
    if not queries:
        return None
    medians = (float(np.median(times[exact])) for exact in (False, True))
    return Recall(len(queries), float(np.mean(first)), float(np.mean(ten)), *medians)


def statement(space: tuple[int, int], modality: Modality, filters: Filters, *, exact: bool) -> sql.Composed:
    """The search. Model and modality stand in it as they are, or the planner could not know which index is theirs."""
    number, dimension = space
    text = (
        "SELECT site, gallery, number, device, -({column} <#> {vector}) FROM prototype "
        "WHERE {conditions} ORDER BY {order} LIMIT %(most)s"
    )
    column = sql.SQL("vector::vector({})").format(sql.Literal(dimension))
    vector = sql.SQL("%(vector)s::vector({})").format(sql.Literal(dimension))
    distance = sql.SQL("({}) <#> {}").format(column, vector)
    return sql.SQL(text).format(
        column=sql.SQL("({})").format(column), vector=vector, conditions=_conditions(number, modality, filters),
        order=sql.SQL("({}) + 0").format(distance) if exact else distance,  # the sum keeps the index out
    )  # fmt: skip


def _conditions(space: int, modality: Modality, filters: Filters) -> sql.Composed:
    own = sql.SQL("space = {} AND modality = {}").format(sql.Literal(space), sql.Literal(modality))
    given = [sql.SQL(_CONDITIONS[name]) for name, value in asdict(filters).items() if value is not None]
    return sql.SQL(" AND ").join([own, *given])


def _estimate(connection: Connection[Any], conditions: sql.Composed, parameters: dict[str, Any]) -> float:
    """How many prototypes the planner expects: counting them would take longer than the search."""
    text = sql.SQL("EXPLAIN (FORMAT JSON) SELECT 1 FROM prototype WHERE {}").format(conditions)
    ((plan,),) = connection.execute(text, parameters).fetchall()
    return float(plan[0]["Plan"]["Plan Rows"])
