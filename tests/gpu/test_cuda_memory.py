"""Pinned buffers, one stream and CUDA graphs, with a copy on the device in place of a network; needs no TensorRT."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pycuda.driver")
runtime = pytest.importorskip("cuda.bindings.runtime")

from edge_reid.engines.cuda import CudaMemory  # noqa: E402

pytestmark = pytest.mark.gpu

NUMBERS = 16


class Copying:
    """A network that takes `(n, 64)` bytes for `(n, 16)` floats."""

    def __init__(self) -> None:
        self.memory = CudaMemory((4 * NUMBERS,), NUMBERS, 8)
        self.launched = 0

    def launch(self, count: int, stream: int) -> None:
        self.launched += 1
        source, target = self.memory.addresses
        kind = runtime.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        (code,) = runtime.cudaMemcpyAsync(target, source, 4 * NUMBERS * count, kind, stream)
        assert int(code) == 0

    def run(self, wanted: Any) -> Any:
        return self.memory.run(wanted.view(np.uint8).reshape(len(wanted), -1), self.launch)


def numbers(count: int, seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=(count, NUMBERS)).astype(np.float32)


def test_every_batch_size_is_recorded_once_and_replayed() -> None:
    network = Copying()
    for seed, count in enumerate([1, 8, 3, 1, 8, 3, 3]):
        wanted = numbers(count, seed)
        np.testing.assert_array_equal(network.run(wanted), wanted)
    assert network.launched == 3 * 2, "each size once for real and once to record it"
    network.memory.close()
    network.memory.close()


def test_without_cuda_python_every_call_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_reid.engines.cuda._runtime", lambda: None)
    network = Copying()
    for seed, count in enumerate([1, 8, 1]):
        wanted = numbers(count, seed)
        np.testing.assert_array_equal(network.run(wanted), wanted)
    assert network.launched == 3
    network.memory.close()


def test_results_are_the_callers_to_keep() -> None:
    network = Copying()
    first = network.run(numbers(2, 0))
    network.run(numbers(2, 1))
    np.testing.assert_array_equal(first, numbers(2, 0))
    network.memory.close()


def test_calls_may_come_from_any_thread() -> None:
    networks, wrong = [Copying(), Copying()], []

    def work(seed: int) -> None:
        wanted = numbers(1 + seed % 8, seed)
        if not np.array_equal(networks[seed % 2].run(wanted), wanted):
            wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    for network in networks:
        network.memory.close()


def test_events_tell_how_long_the_parts_of_a_call_take() -> None:
    network = Copying()
    network.run(numbers(8, 0))
    times = network.memory.device_times(numbers(8, 1).view(np.uint8).reshape(8, -1), network.launch)
    assert 0 < times.compute_ms < 100
    assert 0 < times.copies_ms < 100
    network.memory.close()
