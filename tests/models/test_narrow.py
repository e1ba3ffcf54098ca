from __future__ import annotations

import pytest

from edge_reid import recipes
from edge_reid.errors import UserError
from edge_reid.models import build_network


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ("shared.9.conv 8 8", "no layer 'shared.9.conv 8 8'"),
        ("head 8 8", "no layer 'head 8 8'"),
        ("visible.0.0.conv 3", "no layer 'visible.0.0.conv 3'"),
        ("visible.0.0.conv 3 4000", "has 3 x 16 channels, not 3 x 4000"),
    ],
)
def test_a_layer_that_is_not_there_is_refused(layer: str, said: str) -> None:
    numbers = {"arch": "osnet", "width": 0.25, "part_dim": 16, "layers": [layer]}
    with pytest.raises(UserError, match=said):
        build_network(recipes.changed(recipes.get("sdm-mgim"), numbers))  # type: ignore[arg-type]
