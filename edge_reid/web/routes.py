"""What a browser can ask the page for: files, the live picture and state, people and their history."""

from __future__ import annotations

import asyncio
import json
import math
import time
import unicodedata
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import Annotated, TypeVar

from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from edge_reid.errors import UserError, one_line
from edge_reid.types import Json, Modality
from edge_reid.web.board import Board, Desk
from edge_reid.web.guard import limited_body
from edge_reid.web.metrics import exposition
from edge_reid.web.pictures import Pictures
from edge_reid.web.words import known_words, now_words, visit_words

FILES = {"/": "index.html"} | {
    f"/{name}": name for name in ("page.css", "page.js", "live.js", "numbers.js", "parts.js", "icon.svg")
}
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

OPEN_PATHS = frozenset({*FILES, "/healthz"})
"""What anyone may read: it holds nothing of anybody."""

STATE_PERIOD = 0.5
"""Seconds between two states that a viewer is told."""

MOST_PEOPLE = 100

T = TypeVar("T")
Number = Annotated[int, Field(ge=0, lt=2**53)]
Name = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        min_length=1,
        max_length=80,
        # neither control characters nor those that turn the direction of what follows on the page
        pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$",
    ),
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Enrolment(_Strict):
    modality: Modality
    track: Number
    name: Name


class _Renaming(_Strict):
    name: Name


class _Period(_Strict):
    person: Number | None = None
    since: FiniteFloat | None = None
    most: Annotated[int, Field(ge=1, le=500)] = 100


class _Search(_Strict):
    search: Annotated[str, StringConstraints(max_length=80)] = ""


class _Person(_Strict):
    person: Number


class Routes:
    """Answers requests on one event loop; what may take long is done on threads of its own."""

    def __init__(self, board: Board, desk: Desk) -> None:
        """Read the files of the page; nothing is read from disk later."""
        self._board = board
        self._desk = desk
        self._pictures = Pictures(board)
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="web-desk")
        self._stopping = False
        self._state = (-math.inf, b"")
        folder = files("edge_reid.web") / "static"
        self._files = {path: (folder / name).read_bytes() for path, name in FILES.items()}

    def all(self) -> list[Route]:
        """The routes of an app."""
        return [
            *(Route(path, self._file) for path in FILES),
            Route("/healthz", self._healthz),
            Route("/metrics", self._metrics),
            Route("/live.jpg", self._picture),
            Route("/api/live", self._live),
            Route("/api/people", self._people),
            Route("/api/people", self._enrol, methods=["POST"]),
            Route("/api/people/{person}", self._rename, methods=["PATCH"]),
            Route("/api/people/{person}", self._forget, methods=["DELETE"]),
            Route("/api/history", self._history),
        ]

    def stop(self) -> None:
        """End what goes on and on; from any thread."""
        self._stopping = True
        self._pictures.stop()

    def close(self) -> None:
        """Let go of the threads, when nothing is asked any more."""
        self._pictures.close()
        self._worker.shutdown()

    async def _file(self, request: Request) -> Response:
        path = request.scope["path"]
        name = FILES[path]
        return Response(self._files[path], media_type=TYPES[name[name.rindex(".") :]])

    async def _healthz(self, _: Request) -> Response:
        health = self._board.health
        return Response(f"{health}\n", status_code=200 if health == "ok" else 503, media_type="text/plain")

    async def _metrics(self, _: Request) -> Response:
        return Response(exposition(self._board), media_type=CONTENT_TYPE_LATEST)

    async def _picture(self, request: Request) -> Response:
        after = request.query_params.get("after", "0")
        encoded = await self._pictures.next(int(after) if after.isdecimal() and len(after) < 18 else 0)
        if encoded is None:
            return Response(status_code=204)
        return Response(encoded.jpeg, media_type="image/jpeg", headers={"Picture-Number": str(encoded.number)})

    async def _live(self, request: Request) -> Response:
        return StreamingResponse(self._states(request.state.admitted), media_type="text/event-stream")

    async def _states(self, admitted: Callable[[], bool]) -> AsyncIterator[bytes]:
        """The state again and again; a viewer who reads slowly misses some, and nothing is kept for them."""
        yield b"retry: 2000\n\n"
        while not self._stopping and admitted():
            if self._state[0] + STATE_PERIOD / 2 < time.monotonic():
                told = json.dumps(now_words(self._board), separators=(",", ":"))
                self._state = (time.monotonic(), f"data: {told}\n\n".encode())
            yield self._state[1]
            await asyncio.sleep(STATE_PERIOD)

    async def _people(self, request: Request) -> Response:
        wanted = _checked(lambda: _Search.model_validate(dict(request.query_params))).search.strip()

        def found() -> Json:
            people = self._desk.people()
            fitting = [
                person
                for person in people
                if wanted == str(person.number) or _plain(wanted) in _plain(person.name or f"Person {person.number}")
            ]
            fitting.sort(key=lambda person: -person.last_seen)
            return {
                "total": len(people),
                "found": len(fitting),
                "people": [known_words(person) for person in fitting[:MOST_PEOPLE]],
            }

        return JSONResponse(await self._ask(found))

    async def _history(self, request: Request) -> Response:
        period = _checked(lambda: _Period.model_validate(dict(request.query_params)))
        visits = await self._ask(lambda: self._desk.history(period.person, period.since, period.most))
        return JSONResponse({"visits": [visit_words(visit) for visit in visits]})

    async def _enrol(self, request: Request) -> Response:
        body = await _json_body(request)
        wish = _checked(lambda: _Enrolment.model_validate_json(body))
        person = await self._ask(lambda: self._desk.enrol(wish.modality, wish.track, wish.name))
        return JSONResponse({"person": person}, status_code=201)

    async def _rename(self, request: Request) -> Response:
        person, body = _person(request), await _json_body(request)
        name = _checked(lambda: _Renaming.model_validate_json(body)).name
        await self._ask(lambda: self._desk.rename(person, name))
        return Response(status_code=204)

    async def _forget(self, request: Request) -> Response:
        person = _person(request)
        await self._ask(lambda: self._desk.forget(person))
        return Response(status_code=204)

    async def _ask(self, question: Callable[[], T]) -> T:
        """Have the desk answer on its thread."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, question)
        except KeyError:
            raise HTTPException(404, "nobody has this number any more") from None
        except UserError as error:
            raise HTTPException(400, one_line(error)) from None


async def explain(_: Request, error: Exception) -> Response:
    """An HTTPException as JSON."""
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)


def _plain(text: str) -> str:
    """Letters without case and accents, as one searches for them."""
    return "".join(sign for sign in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(sign))


async def _json_body(request: Request) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send application/json")  # a form on another site cannot
    body = await limited_body(request)
    if body is None:
        raise HTTPException(413, "the request is too large")
    return body


def _person(request: Request) -> int:
    return _checked(lambda: _Person.model_validate({"person": request.path_params["person"]})).person


def _checked(validate: Callable[[], T]) -> T:
    try:
        return validate()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "request"
        raise HTTPException(422, f"{where}: {first['msg']}") from None
