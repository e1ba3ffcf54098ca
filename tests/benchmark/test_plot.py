from __future__ import annotations

import numpy as np
from made_up import ranked, record, rows

from edge_reid.benchmark.plot import Point, pareto_front, plot, points
from edge_reid.benchmark.rows import Kind


def test_the_front_is_what_no_other_beats() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        count = int(random.integers(1, 9))
        numbers = random.integers(0, 5, (count, 2)).astype(float)  # few values, so that there are ties
        found = [Point(Kind(str(number), "fp32"), *map(float, row)) for number, row in enumerate(numbers)]
        unbeaten = [
            one
            for one in found
            if not any(
                other.milliseconds <= one.milliseconds
                and other.accuracy >= one.accuracy
                and (other.milliseconds, other.accuracy) != (one.milliseconds, one.accuracy)
                for other in found
            )
        ]
        front = pareto_front(found)
        assert sorted(front) == sorted(unbeaten)
        assert [one.milliseconds for one in front] == sorted(one.milliseconds for one in front)


def test_points_are_means_of_both_modalities_at_batch_1() -> None:
    measured = [*ranked("onnxruntime", "fp32", 4, 0), *rows("onnxruntime", "fp32", 9, batch=8)]
    measured[0] = measured[0].model_copy(update={"rank1": 0.5, "p50_ms": 2.0})
    found, accuracy, _ = points(record(measured))
    assert found == [Point(Kind("onnxruntime", "fp32"), 3.0, 55.0)]
    assert "rank-1" in accuracy


def test_without_ranks_the_first_percentile_of_the_cosines_is_drawn() -> None:
    found, accuracy, _ = points(record(rows("onnxruntime", "fp32", 4, cosine_p01=0.75)))
    assert found[0].accuracy == 0.75
    assert accuracy.startswith("cosine")


def test_the_plot_names_every_engine_and_there_is_none_without_timings() -> None:
    measured = [*ranked("onnxruntime", "fp32", 4, 0), *ranked("openvino", "int8", 2, -1)]
    drawn = plot(record(measured)) or ""
    assert drawn.startswith("<svg")
    assert "onnxruntime fp32: 4.00 ms" in drawn and "openvino int8: 2.00 ms" in drawn and "Pareto front" in drawn
    assert plot(record(rows("onnxruntime", "fp32", 4, batch=8))) is None
