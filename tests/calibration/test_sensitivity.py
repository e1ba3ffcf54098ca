from __future__ import annotations

import numpy as np
import pytest
from edge_reid_calibration import Calibration, Quantizer, Scheme
from edge_reid_calibration.sensitivity import sensitivity

from tests.calibration.graphs import light_chunks, light_model, values

VNNI = Scheme(activations="unsigned", placement="all")


def test_each_layer_is_measured_alone() -> None:
    quantizer = Quantizer(light_model(), light_chunks, VNNI, Calibration(method="min-max", equalize=False))
    measured = {one.layer: one for one in sensitivity(quantizer)}
    assert list(measured) == quantizer.layers() == ["first", "second", "third"]
    alone = quantizer.quantized(given_back=["second", "third"]).model
    true, made = values(light_model(), "between"), values(alone, "between_dequantized")
    expected = 10 * np.log10(np.square(true).sum() / np.square(true - made).sum())
    assert measured["first"].snr_db == pytest.approx(expected, abs=0.01)


def test_a_layer_that_is_given_back_computes_in_float() -> None:
    quantizer = Quantizer(light_model(), light_chunks, VNNI, Calibration())
    assert quantizer.quantized().convolutions == 3
    assert quantizer.quantized(given_back=["second"]).convolutions == 2
    nothing = quantizer.quantized(given_back=quantizer.layers())
    assert nothing.convolutions == 0
    np.testing.assert_allclose(values(nothing.model, "out"), values(light_model(), "out"), rtol=1e-4, atol=1e-4)
