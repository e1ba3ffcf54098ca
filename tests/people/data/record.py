"""Make recorded.npz and peer.json anew, see README.md. Run it twice, as said there: each half needs other packages."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
RATES = {"visible": 15.0, "thermal": 15.0, "clip": 10.0}
DISTRACTOR = 8
"""Class that the MOT challenge ignores."""


def record(scene: Path, real: Path) -> None:
    """Write detections of both videos of a scene and of the real clip, the scene's truth, and random tracks."""
    import cv2

    from edge_reid.evaluation.mot import read_rows
    from edge_reid.people.detection import Detector, load_detector

    def detections(video: Path, detector: Detector, *, grey: bool) -> NDArray[np.int16]:
        capture, rows, frame = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG), [], 0
        while (picture := capture.read()[1]) is not None:
            frame += 1
            found = detector.detect(np.asarray(picture[:, :, 0] if grey else picture, dtype=np.uint8))
            rows += [[frame, *10 * box, 1000 * score] for box, score in zip(found.boxes, found.scores, strict=True)]
        return np.rint(rows).astype(np.int16)

    tables = {}
    for modality in ("visible", "thermal"):
        tables[f"{modality}_detections"] = detections(
            scene / f"{modality}.avi", load_detector("motion", modality), grey=modality == "thermal"
        )
        truth = np.array(read_rows(scene / f"gt_{modality}.txt", 9))[:, [0, 1, 2, 3, 4, 5, 8]]
        truth[:, 1] -= truth[:, 1].min()
        tables[f"{modality}_truth"] = np.rint(truth * [1, 1, 10, 10, 10, 10, 1000]).astype(np.int16)
    clip = real / "video" / "one-by-one-person-detection.mp4"
    network = load_detector(f"onnx:{real / 'detector' / 'yolox_nano_416.onnx'}", "visible")
    tables["clip_detections"] = detections(clip, network, grey=False)
    for seed in range(3):
        tables[f"random{seed}_truth"], tables[f"random{seed}_tracks"] = random_tracks(np.random.default_rng(seed))
    np.savez_compressed(HERE / "recorded.npz", **tables)


def random_tracks(rng: np.random.Generator) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Truth and tracks of people who wander, are lost, confused, hidden and imagined."""
    truth, tracks = [], []
    places, numbers = rng.uniform(0, 250, (5, 2)), np.arange(5)
    for frame in range(1, 41):
        places += rng.normal(0, 6, places.shape)
        if rng.random() < 0.15:
            numbers = rng.permutation(numbers)
        for person, (x, y) in enumerate(places):
            if rng.random() < 0.9:
                truth.append([frame, person, 10 * x, 10 * y, 400, 1000, 1000 * rng.choice([1.0, 0.6, 0.3])])
            if rng.random() < 0.85:
                box = np.array([x, y, 40, 100]) + rng.normal(0, 5, 4)
                tracks.append([frame, numbers[person], *10 * box, 1000])
        if rng.random() < 0.3:
            tracks.append([frame, 50 + frame // 10, *rng.uniform(0, 2500, 2), 400, 1000, 1000])
    return np.rint(truth).astype(np.int16), np.rint(tracks).astype(np.int16)


def ask_peer() -> None:
    """Add the tracks that the package `trackers` makes of the detections, and the scores it gives to all tracks."""
    tables = dict(np.load(HERE / "recorded.npz"))
    for name, rate in RATES.items():
        tables[f"{name}_tracks"] = peer_tracks(tables[f"{name}_detections"], rate)
    np.savez_compressed(HERE / "recorded.npz", **tables)
    scored = [name.removesuffix("_truth") for name in tables if name.endswith("_truth")]
    scores = {name: peer_scores(tables[f"{name}_truth"], tables[f"{name}_tracks"]) for name in scored}
    (HERE / "peer.json").write_text(json.dumps(scores, indent=1) + "\n")


def peer_tracks(detections: NDArray[np.int16], rate: float) -> NDArray[np.int16]:
    """ByteTrack as its package sets it: of several settings tried, the one that served it best."""
    import supervision
    from trackers import ByteTrackTracker

    tracker = ByteTrackTracker(frame_rate=rate)
    rows = []
    for frame in range(1, detections[:, 0].max() + 1):
        seen = detections[detections[:, 0] == frame].astype(np.float64)
        given = supervision.Detections(xyxy=seen[:, 1:5] / 10, confidence=seen[:, 5] / 1000)
        found = tracker.update(given, timestamp=frame / rate)
        for box, number in zip(found.xyxy, found.tracker_id, strict=True):
            if number >= 0:
                rows.append([frame, number, *10 * box[:2], *10 * (box[2:] - box[:2]), 1000])
    return np.rint(rows).astype(np.int16)


def peer_scores(truth: NDArray[np.int16], tracks: NDArray[np.int16]) -> dict[str, float]:
    """Scores of MOT text in which whoever is less than half in sight is a distractor."""
    from trackers.eval import evaluate_mot_sequence

    with tempfile.TemporaryDirectory() as folder:
        files = []
        for name, table in (("truth", truth), ("tracks", tracks)):
            classes = np.where(table[:, 6] >= 500, 1, DISTRACTOR) if name == "truth" else np.ones(len(table))
            lines = [
                f"{row[0]},{row[1]},{','.join(str(value / 10) for value in row[2:6])},1,{int(kind)},1\n"
                for row, kind in zip(table, classes, strict=True)
            ]
            files.append(Path(folder) / f"{name}.txt")
            files[-1].write_text("".join(lines))
        result = evaluate_mot_sequence(*files, metrics=["CLEAR", "HOTA", "Identity"])
    return {
        "hota": result.HOTA.HOTA, "detection_accuracy": result.HOTA.DetA, "association_accuracy": result.HOTA.AssA,
        "idf1": result.Identity.IDF1, "mota": result.CLEAR.MOTA, "switches": result.CLEAR.IDSW,
        "found": result.CLEAR.CLR_TP, "missed": result.CLEAR.CLR_FN, "false": result.CLEAR.CLR_FP,
    }  # fmt: skip


if __name__ == "__main__":
    record(Path(sys.argv[1]), Path(sys.argv[2])) if len(sys.argv) == 3 else ask_peer()
