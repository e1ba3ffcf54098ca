"""Real engines: built from the bundle's graphs by the TensorRT that is installed, and compared with its FP32 graphs."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorrt")
pytest.importorskip("pycuda.driver")

from edge_reid_export.compile import Wish, compile_bundle

from edge_reid.bundle import Bundle, Precision
from edge_reid.engines import Engine, load_engine
from edge_reid.engines.agreement import LEAST_COSINE, made_up_crops
from edge_reid.engines.compiled import Compiled
from edge_reid.engines.plan import PLAN
from edge_reid.errors import UserError
from edge_reid.types import MODALITIES, Modality

pytestmark = pytest.mark.gpu

PRECISIONS: tuple[Precision, ...] = ("fp16", "int8")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Bundle:
    """The tiny bundle with engines of both precisions for at most 8 crops."""
    folder = tmp_path_factory.mktemp("tensorrt") / "bundle"
    shutil.copytree(tiny_bundle, folder)
    for precision in PRECISIONS:
        compile_bundle(Bundle.open(folder), "tensorrt", Wish(precision=precision, max_batch=8))
    return Bundle.open(folder)


def size_of(bundle: Bundle) -> tuple[int, int]:
    return bundle.manifest.input_size


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("modality", MODALITIES)
def test_it_embeds_as_the_float_graph_does_at_every_batch_size(
    built: Bundle, modality: Modality, precision: Precision
) -> None:
    engine = load_engine(built, modality, "tensorrt", precision)
    reference = load_engine(built, modality, "onnxruntime", "fp32")
    crops = made_up_crops(modality, size_of(built), 12)
    for count in (1, 3, 8, 3, 1, 12, 8):  # every graph is replayed after others were recorded
        cosines = (engine.embed(crops[-count:]) * reference.embed(crops[-count:])).sum(axis=1)
        assert cosines.min() >= LEAST_COSINE[precision], count
    engine.close()
    reference.close()


def test_eight_crops_take_less_than_eight_calls(built: Bundle) -> None:
    engine = load_engine(built, "visible", "tensorrt", "fp16")
    crops = made_up_crops("visible", size_of(built), 8)

    def seconds(parts: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]) -> float:
        best = np.inf
        for _ in range(20):
            began = time.perf_counter()
            for part in parts:
                engine.embed(part)
            best = min(best, time.perf_counter() - began)
        return float(best)

    assert seconds([crops]) < seconds([crops[number : number + 1] for number in range(8)])
    times = engine.device_times(crops)
    assert times is not None
    assert 0 < times.compute_ms < 1000
    engine.close()


def test_two_engines_in_two_threads_do_not_disturb_each_other(built: Bundle) -> None:
    engines: list[Engine] = [load_engine(built, modality, "tensorrt", "fp16") for modality in MODALITIES]
    wrong: list[Modality] = []

    def work(engine: Engine) -> None:
        crops = made_up_crops(engine.modality, size_of(built), 8)
        expected = engine.embed(crops)
        for count in (1, 5, 8, 2) * 10:
            if not np.allclose(engine.embed(crops[:count]), expected[:count], atol=1e-2):
                wrong.append(engine.modality)

    threads = [threading.Thread(target=work, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    for engine in engines:
        engine.close()


def test_a_plan_of_another_tensorrt_is_refused_with_the_command(built: Bundle) -> None:
    plan = Compiled(built.file("visible", "tensorrt", "fp16"), "tensorrt", "visible", "fp16").path(PLAN)
    whole = plan.read_bytes()
    try:
        plan.write_bytes(whole[:24] + bytes([1, 2, 3, 4]) + whole[28:])
        with pytest.raises(UserError, match="edge-reid compile"):
            load_engine(built, "visible", "tensorrt", "fp16")
    finally:
        plan.write_bytes(whole)
