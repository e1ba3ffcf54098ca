"""What the board says, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from edge_reid.web.board import Board, CameraNow, Now


def exposition(board: Board) -> bytes:
    """All metrics in Prometheus' text format; before the first step only whether the app is healthy."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_BoardCollector(board))
    return generate_latest(registry)


class _BoardCollector(Collector):
    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterable[Metric]:
        yield _gauge("healthy", "1 where the loop runs and every camera delivers", float(self._board.health == "ok"))
        latest = self._board.latest
        if latest is None:
            return
        yield _gauge("step_age_seconds", "Time since the last step of the loop", self._board.silence)
        yield from _of_cameras(latest.now)
        yield from _of_the_loop(latest.now)


def _of_cameras(now: Now) -> Iterable[Metric]:
    cameras: dict[str, CameraNow] = {modality: camera for modality, camera in now.cameras.items()}  # noqa: C416

    def gauges(name: str, help_text: str, values: Mapping[str, float | None]) -> Metric:
        return _by_label(GaugeMetricFamily(f"edge_reid_{name}", help_text, labels=["camera"]), values)

    def counters(name: str, help_text: str, field: str) -> Metric:
        values = {camera: float(getattr(state, field)) for camera, state in cameras.items()}
        return _by_label(CounterMetricFamily(f"edge_reid_{name}", help_text, labels=["camera"]), values)

    yield gauges(
        "camera_up", "1 for a camera that delivers", {name: float(it.state == "up") for name, it in cameras.items()}
    )
    yield gauges("camera_fps", "Measured frames per second", {name: it.rate for name, it in cameras.items()})
    yield gauges("frame_age_seconds", "Age of the newest frame", {name: it.age for name, it in cameras.items()})
    yield counters("frames", "Frames received", "received")
    yield counters("dropped", "Frames received and not worked on", "dropped")
    yield counters("stalls", "Times a camera fell silent", "stalls")
    yield counters("reconnects", "Times a camera was opened again", "reconnects")
    yield counters("frozen", "Times a camera repeated one picture", "frozen")


def _of_the_loop(now: Now) -> Iterable[Metric]:
    present = {"known": 0.0, "unknown": 0.0}
    for person in now.present:
        present["unknown" if person.person is None else "known"] += 1
    people = GaugeMetricFamily("edge_reid_people_present", "People in view now", labels=["who"])
    yield _by_label(people, present)
    if now.gallery_size is not None:
        yield _gauge("gallery_size", "People in the gallery", now.gallery_size)
    if now.pair_offset is not None:
        yield _gauge("pair_offset_seconds", "Time of the thermal frame minus the visible one's", now.pair_offset)
    if now.celsius is not None:
        yield _gauge("temperature_celsius", "The device's hottest sensor", now.celsius)
    stages = GaugeMetricFamily("edge_reid_stage_seconds", "Time of a stage of a step", labels=["stage"])
    yield _by_label(stages, {stage: spent / 1e3 for stage, spent in now.stages.items()})
    latency = Metric("edge_reid_latency_seconds", "From capture to decision", "summary")
    for quantile, seconds in now.latency.items():
        latency.add_sample(latency.name, {"quantile": quantile}, seconds)
    yield latency
    yield _by_label(CounterMetricFamily("edge_reid_events", "What happened", labels=["event"]), now.events)
    lengths = GaugeMetricFamily("edge_reid_queue_length", "What waits to be written or sent", labels=["queue"])
    yield _by_label(lengths, {name: queue.length for name, queue in now.queues.items()})
    thrown = CounterMetricFamily("edge_reid_queue_dropped", "What could not be written or sent", labels=["queue"])
    yield _by_label(thrown, {name: queue.dropped for name, queue in now.queues.items()})
    yield _gauge("uptime_seconds", "Time since the start", now.uptime)
    facts = {"version": now.version} | {f"{modality}_engine": name for modality, name in now.engines.items()}
    yield InfoMetricFamily("edge_reid_build", "What runs", facts)


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"edge_reid_{name}", help_text, value=value)


def _by_label(
    family: GaugeMetricFamily | CounterMetricFamily, values: Mapping[str, float | None] | Mapping[str, float]
) -> Metric:
    for label, value in values.items():
        if value is not None:
            family.add_metric([label], value)
    return family
