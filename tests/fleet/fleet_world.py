"""Galleries of devices for the tests, and what of them is in the fleet."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from conftest import DIMENSION, SPACE, Fleet

from edge_reid.fleet.link import forget_for_fleet, register_gallery, send
from edge_reid.gallery.base import Prototype
from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.types import Modality

NOW = 1000.0
"""Of the devices' clocks, in seconds after 1970."""


def prototype(
    random: np.random.Generator, modality: Modality = "visible", time: float = 100.0, quality: float = 1.0
) -> Prototype:
    vector = random.normal(size=DIMENSION).astype(np.float32)
    return Prototype(modality, vector / np.linalg.norm(vector), quality, time)


@contextlib.contextmanager
def attached(path: Path, **options: Any) -> Iterator[SqliteGallery]:
    """A device's file that has a fleet."""
    options = {"space": SPACE, "dimension": DIMENSION, "clock": lambda: NOW} | options
    with contextlib.closing(SqliteGallery(path, **options)) as gallery:
        gallery.attach()
        yield gallery


def sync(fleet: Fleet, login: str, gallery: SqliteGallery, most: int = 100) -> None:
    """What a device's link does, once, in turn."""
    gallery.flush()
    with fleet.open(login) as connection:
        me = register_gallery(connection, gallery)
        forget_for_fleet(connection, gallery, me)
        while gallery.pending():
            send(connection, gallery, me, most)


def people_of(fleet: Fleet) -> list[tuple[Any, ...]]:
    """Site, device, number, name, first and last seen of everyone."""
    return fleet.rows(
        "SELECT site, device, number, name, extract(epoch FROM first_seen)::float8, "
        "extract(epoch FROM last_seen)::float8 FROM person ORDER BY site, device, number"
    )


def looks_of(fleet: Fleet) -> dict[tuple[str, str, int], dict[bytes, tuple[str, float, float]]]:
    """By site, device and number: modality, quality and time of each prototype, by the bytes of its vector."""
    looks: dict[tuple[str, str, int], dict[bytes, tuple[str, float, float]]] = {}
    for site, device, number, vector, *rest in fleet.rows(
        "SELECT site, device, number, vector, modality, quality::float8, extract(epoch FROM time)::float8 "
        "FROM prototype"
    ):
        looks.setdefault((site, device, number), {})[vector.to_numpy().tobytes()] = tuple(rest)
    return looks


def sightings_of(fleet: Fleet) -> list[tuple[Any, ...]]:
    """Site, device, number, camera, begin and end of every sighting."""
    return fleet.rows(
        "SELECT site, device, number, camera, extract(epoch FROM began)::float8, extract(epoch FROM ended)::float8 "
        "FROM sighting ORDER BY site, device, number, camera, began"
    )
