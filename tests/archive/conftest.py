from __future__ import annotations

from pathlib import Path

import cv2
import pytest

pytest.importorskip("pyarrow")


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with visible.avi and thermal.avi: four people for six seconds."""
    from edge_reid.data.synthetic.scene import Screenplay, write_scene

    out = tmp_path_factory.mktemp("filmed") / "scene"
    write_scene(out, Screenplay(people=4, seconds=6.0, seed=3))
    return out


@pytest.fixture(scope="session")
def people_in_streets(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Some frames of the scene as pictures, in the order of their names."""
    folder = tmp_path_factory.mktemp("streets")
    video, paths = cv2.VideoCapture(str(scene / "visible.avi")), []
    for number in range(80):
        done, picture = video.read()
        assert done
        if number % 10 == 9:
            paths.append(folder / f"{number:03d}.png")
            cv2.imwrite(str(paths[-1]), picture)
    video.release()
    return paths
