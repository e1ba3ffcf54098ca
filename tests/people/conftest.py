from __future__ import annotations

import pytest
from looks import DIMENSIONS

from edge_reid.gallery.sqlite import SqliteGallery


@pytest.fixture
def gallery() -> SqliteGallery:
    return SqliteGallery(None, space="test", dimension=DIMENSIONS)
