"""An HTTP camera that fails in every way a real one does, on command or by a schedule of its own.

    python tests/cameras/flaky.py --port 8081 --video visible.avi --seed 3 --seconds 600

serves a film for ever as MJPEG and prints a JSON line whenever it changes its mode: {"time": seconds of the monotonic
clock, "mode": name}. Without a film its pictures carry the number of their frame, which `read_number` reads.
"""

from __future__ import annotations

import argparse
import base64
import http.server
import json
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

Mode = Literal["ok", "drop", "stall", "refuse", "garbage", "resize", "freeze"]
"""Delivers; closes after a few frames; stays silent; is not there; sends noise; changes its size; repeats a frame."""

FRAMES_BEFORE_DROP = 5
BITS = 16
CELL = 16
"""Pixels of a bit's square."""

Pictures = Callable[[int], NDArray[np.uint8]]


class FlakyCamera:
    """An MJPEG camera over HTTP on 127.0.0.1."""

    def __init__(
        self, pictures: Pictures | None = None, *, rate: float = 20.0, port: int = 0, login: str | None = None
    ) -> None:
        """Serve `pictures(number)`, numbered ones by default, at so many frames per second, to a `user:password`."""
        self.rate = rate
        self.sent = 0
        """Number of the newest frame that went out."""
        self.paths: list[str] = []
        """What was asked for, with its query."""
        self._login = f"Basic {base64.b64encode(login.encode()).decode()}" if login else None
        self._pictures = pictures or numbered_picture
        self._mode: Mode = "ok"
        self._began = time.monotonic()
        self._frozen = b""
        self._closed = threading.Event()
        self._sockets: set[socket.socket] = set()
        self._encoded: dict[int, bytes] = {}
        self._server: http.server.ThreadingHTTPServer | None = None
        self.port = port
        self._listen()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def mode(self) -> Mode:
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        if mode == "refuse" and self._server is not None:
            self._hang_up()
        elif mode != "refuse" and self._server is None:
            self._listen()
        if mode == "freeze" and self._mode != "freeze":
            self._frozen = self._jpeg(self._number(), small=False)
        self._mode = mode

    def close(self) -> None:
        self._closed.set()
        if self._server is not None:
            self._hang_up()

    def admits(self, login: str | None) -> bool:
        return self._login is None or login == self._login

    def serve(self, connection: socket.socket, write: Callable[[bytes], object]) -> None:
        """Send frames over one connection until it ends."""
        self._sockets.add(connection)
        count = 0
        try:
            while not self._closed.wait(1.0 / self.rate):
                mode = self._mode
                if mode == "refuse" or (mode == "drop" and count >= FRAMES_BEFORE_DROP):
                    return
                if mode == "stall":
                    continue
                if mode == "garbage":
                    write(os.urandom(4000))
                    continue
                number = self._number()
                small = mode == "resize" and count >= FRAMES_BEFORE_DROP
                write(_part(self._frozen if mode == "freeze" else self._jpeg(number, small=small)))
                self.sent = number
                count += 1
        except OSError:
            return
        finally:
            self._sockets.discard(connection)

    def _number(self) -> int:
        return int((time.monotonic() - self._began) * self.rate)

    def _jpeg(self, number: int, *, small: bool) -> bytes:
        if small:
            return _encoded(np.ascontiguousarray(self._pictures(number)[::2, ::2]))
        if number not in self._encoded:
            if len(self._encoded) > 100:
                self._encoded.clear()
            self._encoded[number] = _encoded(self._pictures(number))
        return self._encoded[number]

    def _listen(self) -> None:
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.paths.append(self.path)
                if not camera.admits(self.headers.get("Authorization")):
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                camera.serve(self.connection, self.wfile.write)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        arguments = {"poll_interval": 0.05}
        threading.Thread(target=self._server.serve_forever, kwargs=arguments, daemon=True).start()

    def _hang_up(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        self._server = None
        for connection in list(self._sockets):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it went by itself


def numbered_picture(number: int) -> NDArray[np.uint8]:
    """A picture `(240, 320, 3)` whose upper edge tells `number` in black and white squares, lowest bit first."""
    picture = np.full((240, 320, 3), 128, np.uint8)
    for bit in range(BITS):
        picture[:CELL, bit * CELL : (bit + 1) * CELL] = 255 * (number >> bit & 1)
    return picture


def read_number(image: NDArray[np.uint8]) -> int:
    """The number in a picture of `numbered_picture`, grey or not, of its own size."""
    bits = [image[4:12, bit * CELL + 4 : bit * CELL + 12].mean() > 127 for bit in range(BITS)]
    return sum(1 << bit for bit, white in enumerate(bits) if white)


def film(path: Path) -> Pictures:
    """The frames of a video for ever, decoded as they are asked for; those asked for must not lie far back."""
    video, lock = cv2.VideoCapture(str(path)), threading.Lock()
    if not video.isOpened():
        raise SystemExit(f"{path}: does not open")
    held, picture = -1, np.zeros((2, 2, 3), np.uint8)

    def pictures(number: int) -> NDArray[np.uint8]:
        nonlocal held, picture
        with lock:
            if number > held + 50:  # nobody looked for a while
                video.set(cv2.CAP_PROP_POS_FRAMES, number % max(1, int(video.get(cv2.CAP_PROP_FRAME_COUNT))))
                held = number - 1
            while held < number:
                done, image = video.read()
                if done:
                    held, picture = held + 1, np.asarray(image, dtype=np.uint8)
                else:
                    video.set(cv2.CAP_PROP_POS_FRAMES, 0)
            return picture

    return pictures


def schedule(seed: int, seconds: float) -> Iterator[tuple[float, Mode]]:
    """(seconds of that mode, mode): working and failing by turns, all failures drawn before one comes again."""
    draw = random.Random(seed)
    failures: list[Mode] = []
    spent = 0.0
    while spent < seconds:
        if not failures:
            failures = [mode for mode in get_args(Mode) if mode != "ok"]
            draw.shuffle(failures)
        works, fails = draw.uniform(6.0, 14.0), draw.uniform(2.0, 10.0)
        yield works, "ok"
        yield fails, failures.pop()
        spent += works + fails


def _part(jpeg: bytes) -> bytes:
    return b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(jpeg), jpeg)


def _encoded(picture: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".jpg", picture)[1].tobytes()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--video", type=Path, help="a film to serve; numbered pictures when not given")
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--seed", type=int, help="fail by a schedule drawn with this seed; never when not given")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the schedule; then it only works")
    options = parser.parse_args()
    camera = FlakyCamera(film(options.video) if options.video else None, rate=options.rate, port=options.port)
    print(json.dumps({"time": time.monotonic(), "mode": "ok", "url": camera.url}), flush=True)
    if options.seed is not None:
        for length, mode in schedule(options.seed, options.seconds):
            camera.mode = mode
            print(json.dumps({"time": time.monotonic(), "mode": mode}), flush=True)
            time.sleep(length)
        camera.mode = "ok"
        print(json.dumps({"time": time.monotonic(), "mode": "ok"}), flush=True)
    sys.stdin.read()  # works until whoever started it goes


if __name__ == "__main__":
    main()
