from __future__ import annotations

import numpy as np
import pytest
from edge_reid_calibration import Calibration, Quantizer, Scheme
from edge_reid_calibration.equalize import corrected, equalized, light_pairs
from edge_reid_calibration.qdq import Graph, rounded_weights
from edge_reid_calibration.ranges import observe_channels

from tests.calibration.graphs import light_chunks, light_model, values

VNNI = Scheme(activations="unsigned", placement="all")
TENSORRT = Scheme(activations="signed", placement="weighted", scale_type="float16")


def test_a_light_convolution_is_found_and_nothing_else() -> None:
    pairs = [(first.name, second.name) for first, second in light_pairs(Graph(light_model().graph))]
    assert pairs == [("first", "second")]


def test_equalised_channels_have_one_range_and_the_result_stays() -> None:
    channels = observe_channels(light_model(), ["between"], light_chunks)
    model = equalized(light_model(), channels)
    np.testing.assert_allclose(values(model, "out"), values(light_model(), "out"), rtol=1e-4, atol=1e-4)
    largest = np.abs(values(model, "between")).max(axis=(0, 2, 3))
    assert largest[1] == pytest.approx(largest[0], rel=1e-4)
    assert largest[2] < largest[0], "a thousandth grows 64-fold, not more"
    assert largest[2] == pytest.approx(64 * channels["between"].largest[2], rel=1e-4)
    assert largest[3] == 0


@pytest.mark.parametrize("scheme", [VNNI, TENSORRT], ids=["all", "weighted"])
def test_equalising_makes_rounding_cheaper(scheme: Scheme) -> None:
    errors = []
    for equalize in (False, True):
        made = Quantizer(light_model(), light_chunks, scheme, Calibration(method="min-max", equalize=equalize))
        errors.append(np.square(values(made.quantized().model, "sum") - values(light_model(), "sum")).mean((0, 2, 3)))
    assert errors[1][2] < 0.1 * errors[0][2], "the channel that had a thousandth of the range"


def test_a_corrected_bias_takes_the_mean_error_of_rounded_weights_back() -> None:
    coarse = VNNI.model_copy(update={"weight_bits": 7})
    inputs = observe_channels(light_model(), ["pixels", "light"], light_chunks)
    model = corrected(light_model(), coarse, ["first", "third"], inputs)
    for name, read, made in (("pointwise", "pixels", "between"), ("last", "light", "out")):
        weights = rounded_weights(Graph(light_model().graph).array(name), coarse)[:, :, 0, 0]
        true = values(light_model(), made).mean(axis=(0, 2, 3))
        rounded = np.einsum("oc,nchw->nohw", weights, values(light_model(), read)).mean(axis=(0, 2, 3))
        bias = Graph(model.graph).array(f"{made}_correction")
        assert np.abs(rounded - true).max() > 1e-3, "without it the mean is off"
        np.testing.assert_allclose(rounded + bias, true, atol=1e-3)
