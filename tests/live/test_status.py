"""The line in the bar below the picture."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import cv2
import pytest
import walkers

from edge_reid.cameras.pairing import Pairing
from edge_reid.cameras.sources import open_source
from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.live.desk import Desk
from edge_reid.live.loop import Loop, Outputs
from edge_reid.people.detection import load_detectors
from edge_reid.people.identities import Identities
from edge_reid.people.matching import Matcher
from edge_reid.people.pipeline import Pipeline
from edge_reid.types import MODALITIES


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of three walkers, and of nobody after they have gone."""
    folder = tmp_path_factory.mktemp("film")
    walk = walkers.Film()
    for index in range(walk.frames + 10):
        for modality in MODALITIES:
            (folder / modality).mkdir(exist_ok=True)
            cv2.imwrite(str(folder / modality / f"{index}.png"), walk.image(index, modality))
    return folder


def statuses(film: Path, *, offline: bool) -> list[tuple[str, int]]:
    """The line as often as the page is told, and how many known people a camera then sees."""
    networks, told = walkers.networks(), []
    gallery = SqliteGallery(None, space=networks.space, dimension=networks.dimension)
    identities = Identities(gallery, networks.rule, epoch=time.time())
    sources = [open_source(f"{film / modality}?fps=10", modality, offline=offline) for modality in MODALITIES]
    pipeline = Pipeline(
        load_detectors("motion", dict.fromkeys(MODALITIES)), networks.embed, networks.size,
        Matcher(networks.rule.between.unknown), identities, None,
    )  # fmt: skip
    outputs = Outputs(lambda event: None, publish=lambda loop, draw: told.append((loop.status, len(loop.view.people))))
    loop = Loop(Pairing(*sources), pipeline, gallery, identities, Desk(gallery, identities), outputs, epoch=time.time())
    loop.run(threading.Event(), None)
    told.append((loop.status, len(loop.view.people)))
    for thing in (*sources, gallery):
        thing.close()
    return told


def test_as_many_people_are_told_as_are_seen_and_no_speed_of_files(film: Path) -> None:
    told = statuses(film, offline=True)
    assert told[-1][1] < 3 <= max(count for _, count in told), "who has left is counted no more"
    for status, count in told:
        assert f"people {count} " in status
        assert not re.search(r"\d (fps|ms)\b", status.replace("offset 0 ms", ""))


def test_a_camera_s_speed_is_told(film: Path) -> None:
    status, _ = statuses(film, offline=False)[-1]
    assert re.search(r"visible \d+ fps   thermal \d+ fps   \d+ ms", status)
