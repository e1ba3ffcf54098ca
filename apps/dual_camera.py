"""Two cameras, one identity: follow people in a visible and a thermal view and say who is who.

Sources are video files, folders of pictures (`pairs/*_lwir.png`), camera indices, HTTP or RTSP URLs.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from edge_reid.errors import UserError, one_line
from edge_reid.types import MODALITIES, Embed, Json, Modality

if TYPE_CHECKING:
    from edge_reid.cameras.pairing import Pairing
    from edge_reid.cameras.sources import State
    from edge_reid.live.meter import Meter
    from edge_reid.live.records import Recording, TrackFiles
    from edge_reid.live.window import Window
    from edge_reid.people.pipeline import Event, Pipeline


@dataclass(frozen=True, kw_only=True)
class Options:
    """Follow people in a visible and a thermal view and say who in one is who in the other."""

    visible: str
    """Source of the visible view: video, folder, folder/pattern, camera index, http(s) or rtsp(s) URL."""
    thermal: str
    """Source of the thermal view; 16-bit pictures are welcome."""
    bundle: Path | None = None
    """Bundle with the networks; the one that the project carries when not given."""
    engine: Literal["onnxruntime", "openvino", "ncnn", "tensorrt", "torch"] | None = None
    """What runs the networks; what `edge-reid benchmark` found fastest here, else onnxruntime, when not given."""
    detector: str = "motion"
    """motion (fixed cameras), hog, or onnx:FILE (YOLOX family)."""
    threshold: float | None = None
    """Least cosine of a match, 0.25 less where --homography puts both at one place; the bundle's when not given."""
    homography: Path | None = None
    """Homography of the ground between the views (JSON): who is seen to stand elsewhere is then no match."""
    headless: bool = False
    """No window."""
    offline: bool = False
    """Take every frame of files in order, as fast as they can be worked; the result is always the same."""
    max_frames: int | None = None
    """Stop after so many frames."""
    events: Path | None = None
    """Write events here, one JSON object a line."""
    record: Path | None = None
    """Write the annotated video here (.avi or .mp4)."""
    tracks: Path | None = None
    """Write tracks (MOT text) and links into this folder, replacing it."""
    json: bool = False
    """Print the summary as one JSON object on the last line."""
    debug: bool = False
    """Show where an error came from."""


def main() -> int:
    """Parse and run; exit code 0 done, 2 the request was wrong."""
    options = tyro.cli(Options, description=__doc__)
    # OpenCV and FFmpeg print lines of their own for what is told here in one, and may show passwords
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    logging.basicConfig(format="dual_camera: %(message)s")
    try:
        summary = run(options)
    except (UserError, OSError, ImportError) as error:
        if options.debug:
            raise
        print(f"dual_camera: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(json.dumps(summary) if options.json else _readable(summary))
    return 0


def run(options: Options) -> dict[str, Json]:
    """Load the networks, work until the sources end or someone stops it, and return the summary."""
    from edge_reid.bundle import Bundle
    from edge_reid.engines import load_engine
    from edge_reid.engines.choice import selection
    from edge_reid.reference import bundle_path

    bundle = Bundle.open(options.bundle or bundle_path())
    threshold = options.threshold if options.threshold is not None else bundle.manifest.match_threshold
    if threshold is None:
        raise UserError(f"{options.bundle or bundle_path()}: states no match threshold; give --threshold")
    engines = {modality: load_engine(bundle, modality, options.engine) for modality in MODALITIES}
    for modality, engine in engines.items():
        why = "" if options.engine else f": {selection(bundle, modality).reason}"
        print(f"dual_camera: {engine.name}{why}", file=sys.stderr)
    embed = {modality: engine.embed for modality, engine in engines.items()}
    try:
        summary = work(options, embed, bundle.manifest.input_size, threshold)
        return summary | {"engines": {modality: engine.name for modality, engine in engines.items()}}
    finally:
        for engine in engines.values():
            engine.close()


def work(options: Options, embed: Mapping[Modality, Embed], size: tuple[int, int], threshold: float) -> dict[str, Json]:
    """Open cameras and outputs and follow people with any networks of input size (H, W)."""
    from edge_reid.cameras.geometry import GroundPlane
    from edge_reid.cameras.pairing import Pairing
    from edge_reid.cameras.sources import open_source
    from edge_reid.live.meter import Meter
    from edge_reid.live.records import EventLog, recording, track_files
    from edge_reid.people.detection import load_detector
    from edge_reid.people.pipeline import Pipeline

    if options.max_frames is not None and options.max_frames < 1:
        raise UserError("--max-frames needs at least 1")
    ground = GroundPlane.read(options.homography) if options.homography else None
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(_stopping())
        visible = open_source(options.visible, "visible", offline=options.offline)
        stack.callback(visible.close)
        thermal = open_source(options.thermal, "thermal", offline=options.offline)
        stack.callback(thermal.close)
        detectors = {modality: load_detector(options.detector, modality) for modality in MODALITIES}
        pipeline = Pipeline(detectors, embed, size, threshold=threshold, ground=ground)
        record = stack.enter_context(recording(options.record, max(visible.rate, thermal.rate)))
        tracks = stack.enter_context(track_files(options.tracks))
        log = EventLog(options.events) if options.events else None
        if log:
            stack.callback(log.close)
        window = _window(options.headless)
        if window:
            stack.callback(window.close)
        meter = Meter()

        def tell(event: Event) -> None:
            meter.count(event)
            if log:
                log.write(event)

        outputs = _Outputs(window, record, tracks)
        _follow(Pairing(visible, thermal), pipeline, outputs, meter, tell, stop, options.max_frames)
        files = {"events": options.events, "record": options.record, "tracks": options.tracks}
        return meter.summary() | {"files": {name: str(path) for name, path in files.items() if path is not None}}


def _window(headless: bool) -> Window | None:
    from edge_reid.live.window import Window, can_show

    if headless:
        return None
    if can_show():
        return Window("edge-reid")
    print("dual_camera: no display here, running headless", file=sys.stderr)
    return None


@dataclass(frozen=True)
class _Outputs:
    window: Window | None
    record: Recording | None
    tracks: TrackFiles | None


def _follow(
    pairing: Pairing,
    pipeline: Pipeline,
    outputs: _Outputs,
    meter: Meter,
    tell: Callable[[Event], None],
    stop: threading.Event,
    most: int | None,
) -> None:
    """The loop: frames in, events, pictures and tracks out."""
    from edge_reid.live.drawing import Canvas
    from edge_reid.people.pipeline import Event

    canvas = Canvas()
    draws = outputs.window is not None or outputs.record is not None
    steps, now = 0, 0.0
    states: dict[Modality, State] = dict.fromkeys(MODALITIES, "up")

    def tell_states() -> None:
        for modality, state in pairing.states.items():
            if state != states[modality]:
                names = {"up": "source_back", "down": "source_lost", "ended": "source_ended"}
                tell(Event(names[state], now, {"camera": modality}))
                states[modality] = state

    while not stop.is_set() and not pairing.ended and (most is None or steps < most):
        pair = pairing.read()
        tell_states()
        if pair is None:
            continue
        began = time.perf_counter()
        view = pipeline.step(pair.frames)
        for event in view.events:
            tell(event)
        if outputs.tracks:
            outputs.tracks.write(pair.frames, view)
        worked = time.perf_counter()
        if draws:
            images = {modality: frame.image for modality, frame in pair.frames.items()}
            picture = canvas.draw(images, view, meter.status(pair.time))
            if outputs.record:
                outputs.record.write(picture, pair.time)
            if outputs.window and not outputs.window.show(picture):
                stop.set()
        ended = time.perf_counter()
        meter.add(pair.frames, view.milliseconds | {"draw": 1e3 * (ended - worked), "frame": 1e3 * (ended - began)})
        steps, now = steps + 1, pair.time
    tell_states()
    for event in pipeline.finish(now):
        tell(event)


@contextlib.contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, so that the loop ends and the files are completed; again, and it aborts."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def request(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, signal.default_int_handler)

    for number in before:
        signal.signal(number, request)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _readable(summary: dict[str, Json]) -> str:
    lines = []
    for key, value in summary.items():
        text = ", ".join(f"{name} {number}" for name, number in value.items()) if isinstance(value, dict) else value
        lines.append(f"{key:>12}  {text}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
