from __future__ import annotations

from pathlib import Path

import pytest
import walkers


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with films of three walkers."""
    folder = tmp_path_factory.mktemp("videos")
    walkers.write_films(folder)
    return folder
