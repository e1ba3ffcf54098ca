"""People who stroll on a floor below two cameras, as the boxes that imperfect detectors and trackers make of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_reid.cameras.trails import Trails
from edge_reid.data.synthetic.stage import FRAME, Mount
from edge_reid.types import MODALITIES, Modality

Rig = dict[Modality, Mount]

BESIDE: Rig = {
    "visible": Mount(x=-0.1, height=3.0, z=-3.0, yaw=0.02, pitch=0.35, focal=620.0),
    "thermal": Mount(x=0.1, height=3.0, z=-3.0, yaw=-0.02, pitch=0.33, focal=700.0),
}
ACROSS: Rig = {
    "visible": Mount(x=-2.5, height=3.2, z=-2.0, yaw=0.35, pitch=0.33, focal=560.0),
    "thermal": Mount(x=3.5, height=4.2, z=-1.0, yaw=-0.5, pitch=0.4, focal=560.0),
}
OPPOSITE: Rig = {
    "visible": Mount(x=0.0, height=3.2, z=-3.0, yaw=0.05, pitch=0.33, focal=600.0),
    "thermal": Mount(x=0.5, height=3.6, z=15.0, yaw=np.pi - 0.05, pitch=0.33, focal=600.0),
}


def truth(rig: Rig) -> NDArray[np.float64]:
    """The homography `(3, 3)` of frames of `FRAME`."""
    return np.asarray(rig["thermal"].matrix() @ np.linalg.inv(rig["visible"].matrix()))


def people_on_the_floor(mount: Mount) -> NDArray[np.float32]:
    """Boxes `(N, 4)` of people of 1.7 m who stand on a grid, wherever in the picture or outside of it that is."""
    rng = np.random.default_rng(0)
    grid = [(x, z) for x in np.linspace(-3.0, 3.0, 13) for z in np.linspace(2.5, 10.0, 11)]
    return np.stack([box_of(mount, np.array(place), 1.7, 0.0, rng) for place in grid])


@dataclass(frozen=True)
class Strollers:
    """People who walk to one random place of the floor after the other, and rest nowhere."""

    people: int = 1
    seconds: float = 60.0
    seed: int = 0
    error: float = 0.03
    """Of box edges, in heights."""
    missing: float = 0.1
    """Share of sightings that are not there; after a second without any, a track gets another number."""
    clutter: int = 0
    """Walkers that one camera sees alone, in each."""
    along: bool = False
    """Whether all walk one line to and fro."""

    def trails(self, rig: Rig, *, delay: float = 0.0, rates: tuple[float, float] = (15.0, 9.0)) -> Trails:
        """What both cameras' trackers tell; the thermal pictures come `delay` seconds late."""
        trails, rng = Trails(), np.random.default_rng([self.seed, 1])
        for modality, rate, late in zip(MODALITIES, rates, (0.0, delay), strict=True):
            own = [self._way(self.seed, person) for person in range(self.people)]
            own += [self._way(self.seed + 100 + MODALITIES.index(modality), extra) for extra in range(self.clutter)]
            last: dict[int, float] = {}
            number = dict.fromkeys(range(len(own)), 0)
            for time in np.arange(0.0, self.seconds, 1.0 / rate):
                tracks = []
                for index, (way, stature) in enumerate(own):
                    if rng.random() < self.missing:
                        continue
                    if time - last.get(index, time) > 1.0:
                        number[index] += 1
                    last[index] = time
                    box = box_of(rig[modality], way(time), stature, self.error, rng)
                    tracks.append((100 * index + number[index], box))
                trails.add(modality, FRAME, float(time) + late, tracks)
        return trails

    def _way(self, seed: int, person: int) -> tuple[Callable[[float], NDArray[np.float64]], float]:
        """Where someone is at a time, (X, Z) in metres, and how tall they are."""
        rng = np.random.default_rng([seed, person])
        stops = rng.uniform((-3.5, 2.5), (3.5, 10.0), (60, 2))
        if self.along:
            stops[:, 1] = 5.0 + 0.1 * stops[:, 0]
        arrivals = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(stops, axis=0), axis=1) / 1.2)])

        def at(time: float) -> NDArray[np.float64]:
            return np.array([np.interp(time, arrivals, stops[:, axis]) for axis in (0, 1)])

        return at, float(rng.normal(1.7, 0.09))


def box_of(
    mount: Mount, place: NDArray[np.float64], stature: float, error: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """The box `(4,)` of someone before the camera who stands at a place (X, Z) in metres."""
    x, y, depth = mount.matrix() @ np.array([*place, 1.0])
    height = mount.focal * stature / depth
    foot = np.array([x / depth, y / depth]) + rng.normal(0.0, error * height, 2)
    top = foot[1] - height * (1.0 + rng.normal(0.0, error))
    return np.array([foot[0] - 0.2 * height, top, foot[0] + 0.2 * height, foot[1]], np.float32)
