"""The app for hours, with two cameras that fail in every way and a receiver of events that is away half of the time.

    python tests/apps/soak.py --minutes 120 --seed 1 --kills 20 --out runs/soak --document docs/soak.md

Once a second it looks at the app's process and page. Everything goes into FOLDER/record.jsonl, from which
`soak_verdict` says whether the app kept its promises; exit code 1 and a line for each that it broke.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

sys.path.extend(str(Path(__file__).parents[1] / folder) for folder in ("apps", "cameras", "events"))

import soak_page
import soak_verdict
from flaky import schedule
from listeners import free_port
from soak_record import lines_of
from soak_world import Camera, Record, receiver

from edge_reid.gallery.sqlite import SqliteGallery
from edge_reid.machine import processor
from edge_reid.types import MODALITIES, Modality

ROOT = Path(__file__).parents[2]
APP = (sys.executable, str(ROOT / "apps" / "dual_camera.py"))
UNDISTURBED = 0.75
"""Share of the time before the first kill: memory is judged there, for a new process starts small again."""

READY_SECONDS, DRAIN_SECONDS, STOP_SECONDS = 120.0, 120.0, 30.0


@dataclass(frozen=True)
class Plan:
    """What is to be done."""

    out: Path
    films: Path
    """Folder with `visible.avi` and `thermal.avi`."""
    seconds: float
    seed: int = 1
    kills: int = 0
    rate: float = 10.0
    """Frames per second of each camera."""
    pace: float = 1.0
    """Of the cameras' and the receiver's changes: 0.5 is twice as often."""
    app: Sequence[str] = APP
    extra: Sequence[str] = ()
    """Further words for the app."""


@dataclass
class App:
    """The app as a user starts it, again and again."""

    plan: Plan
    words: Sequence[str]
    page: httpx.Client
    record: Record
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def gallery(self) -> Path:
        return self.plan.out / "people.gallery"

    @property
    def lines(self) -> list[bytes]:
        """The whole lines of events so far."""
        return [line for line in lines_of(self.plan.out) if line.endswith(b"\n")]

    def start(self) -> None:
        """Returns once its page answers."""
        environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
        with (self.plan.out / "errors.txt").open("ab") as errors, (self.plan.out / "summary.txt").open("ab") as summary:
            environment |= {"PYTHONPATH": str(ROOT)}
            command = [*self.plan.app, *self.words]
            self.process = subprocess.Popen(command, stdout=summary, stderr=errors, env=environment)
        latest = time.monotonic() + READY_SECONDS
        while time.monotonic() < latest and self.process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                self.page.get("/healthz")
                break
            time.sleep(0.1)
        else:
            self.process.kill()
            raise SystemExit(f"the app does not start; see {self.plan.out / 'errors.txt'}")
        self.record.add("ready", wall=time.time())

    def look(self) -> dict[str, float]:
        """Note how the process and the page are; returns the page's metrics."""
        folder = Path("/proc") / str(self.process.pid)
        try:
            status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
            seen = {
                "rss": int(status["VmRSS"].split()[0]) / 1024.0,
                "threads": int(status["Threads"]),
                "handles": len(list((folder / "fd").iterdir())),
                "load": os.getloadavg()[0],
            }
        except (OSError, KeyError):
            return {}  # it died by itself just now
        metrics: dict[str, float] = {}
        health = 0
        with contextlib.suppress(httpx.TransportError):
            health = self.page.get("/healthz").status_code
            self.page.get("/live.jpg")  # somebody looks
            metrics = metrics_of(self.page.get("/metrics").text)
        self.record.add("sample", **seen, health=health, metrics=metrics)
        return metrics

    def kill(self) -> None:
        """Kill it, note what is left of what was there, and start it again."""
        before = self.lines
        moment, wall = time.monotonic(), time.time()
        self.process.kill()
        self.process.wait()
        self.record.add("end", how="killed", time=moment)
        after = self.lines
        lost = sum(line != kept for line, kept in zip(before, after, strict=False)) + max(0, len(before) - len(after))
        gallery = SqliteGallery(self.gallery, actor="soak")
        people = [person.number for person in gallery.people()]
        gallery.close()
        self.record.add("kill", wall=wall, lines=len(after), lost=lost, people=people)
        self.start()

    def stop(self) -> None:
        """End it in good order."""
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        code = self.process.poll()
        self.record.add("end", how="stopped" if code == 0 else f"exit code {code}")


def metrics_of(text: str) -> dict[str, float]:
    """The samples of a page of Prometheus' text whose labels are one value at most, by name or `name value`."""
    return {
        " ".join([sample.name.removeprefix("edge_reid_"), *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if len(sample.labels) <= 1
    }


def soak(plan: Plan) -> None:
    """Run everything and leave the record."""
    plan.out.mkdir(parents=True)
    token, port = secrets.token_hex(24), free_port()
    secret = plan.out / "token"
    secret.touch(mode=0o600)
    secret.write_text(token)
    with contextlib.ExitStack() as stack:
        record = Record(plan.out / "record.jsonl")
        stack.callback(record.close)
        stop = stack.enter_context(_stopping())
        cameras = {modality: _camera(plan, modality, record) for modality in MODALITIES}
        for camera in cameras.values():
            stack.callback(camera.close)
        hook, stay = stack.enter_context(receiver(plan.pace, plan.seed))
        words = [word for modality, camera in cameras.items() for word in (f"--{modality}", f"{camera.url}#frozen=2")]
        words += ["--detector", "motion", "--headless", "--events", str(plan.out / "events.jsonl")]
        words += ["--webhook", hook.url, "--gallery", str(plan.out / "people.gallery")]
        words += ["--web", "--web-address", f"127.0.0.1:{port}", "--web-token", str(secret), *plan.extra]
        header = {"Authorization": f"Bearer {token}"}
        page = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=header, timeout=10.0))
        record.add("plan", seconds=plan.seconds, seed=plan.seed, kills=plan.kills, rate=plan.rate, pace=plan.pace,
                   words=list(words), cores=os.cpu_count(), machine=_machine(), wall=time.time())  # fmt: skip
        app = App(plan, words, page, record)
        app.start()
        stack.callback(lambda: app.process.kill())  # whichever it is by then
        for camera in cameras.values():
            camera.turn()
        _work(app, stop)
        for camera in cameras.values():
            camera.turn()
        stay.set()
        _drain(app)
        app.stop()
        repeated = sum(len(json.loads(body)) for body in hook.bodies) - len(hook.confirmed)
        record.add("received", ids=hook.confirmed, repeated=repeated)


def _camera(plan: Plan, modality: Modality, record: Record) -> Camera:
    drawn = schedule(2 * plan.seed + MODALITIES.index(modality), plan.seconds / plan.pace)
    spans = [(plan.pace * length, mode) for length, mode in drawn]
    return Camera(modality, plan.films / f"{modality}.avi", plan.rate, spans, record)


def _work(app: App, stop: threading.Event) -> None:
    """Look every second and kill when it is time to, until the time is over or the app has died."""
    plan, began = app.plan, time.monotonic()
    draw = random.Random(plan.seed)
    kills = sorted(began + plan.seconds * draw.uniform(UNDISTURBED, 0.97) for _ in range(plan.kills))
    while time.monotonic() < began + plan.seconds and app.process.poll() is None:
        looked = time.monotonic()
        app.look()
        if kills and looked >= kills[0]:
            kills.pop(0)
            app.kill()
        if stop.wait(max(0.0, looked + 1.0 - time.monotonic())):
            break


def _drain(app: App) -> None:
    """Wait until both cameras are back and the receiver has had everything."""
    latest = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < latest and app.process.poll() is None:
        metrics = app.look()
        up = all(metrics.get(f"camera_up {modality}") for modality in MODALITIES)
        if up and metrics.get("queue_length webhook") == 0:
            return
        time.sleep(0.5)


@contextlib.contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set: what has run until then is judged."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _machine() -> str:
    name, _ = processor()
    return f"{name}, {os.cpu_count()} cores, Python {sys.version.split()[0]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=0, help="kill -9 so often, at random in the last quarter")
    parser.add_argument("--out", type=Path, required=True, help="a new folder, or with --again that of a soak")
    parser.add_argument("--again", action="store_true", help="only judge what lies in --out, finished or not")
    parser.add_argument("--films", type=Path, help="a folder of `edge-reid synth --scene`; made when not given")
    parser.add_argument("--document", type=Path, help="write the page of the result here, too")
    given = parser.parse_args()
    if not given.again:
        _soak_for_real(given)
    verdict = soak_verdict.judge(given.out)
    (given.out / "verdict.json").write_text(json.dumps(verdict.numbers, indent=1) + "\n")
    (given.out / "verdict.md").write_text(verdict.table)
    if given.document:
        given.document.write_text(soak_page.page(given.out, verdict))
    print(verdict.table)
    for line in verdict.broken:
        print(line, file=sys.stderr)
    return 1 if verdict.broken else 0


def _soak_for_real(given: argparse.Namespace) -> None:
    films = given.films
    if films is None:
        films = given.out.with_name(f"{given.out.name}-scene")
        if not films.exists():
            words = ["synth", str(films), "--scene", "--people", "8", "--seconds", "30"]
            subprocess.run([sys.executable, "-m", "edge_reid.cli", *words], check=True)
    extra = ["--homography", str(films / "homography.json")]
    soak(Plan(given.out, films, 60.0 * given.minutes, given.seed, given.kills, extra=extra))


if __name__ == "__main__":
    sys.exit(main())
