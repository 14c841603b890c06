"""How the events of all runs, or of one, reach a browser or a pipe while they happen."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from sse_starlette.sse import EventSourceResponse, SendTimeoutError
from starlette.types import Receive, Scope, Send

from roundsman.api.line import Line
from roundsman.api.problems import answered, documented
from roundsman.api.words import RunId, own_names
from roundsman.errors import Mistake, RoundsmanError, Unready
from roundsman.log import get_logger
from roundsman.settings import get_settings
from roundsman.store.events import read_end
from roundsman.store.records import EventRow, Json
from roundsman.store.runs import get_run
from roundsman.store.tail import Subscription, Tail

HEARTBEAT_SECONDS = 15
SEND_SECONDS_MAX = 30
# So long a key that was revoked may still be told of events.
WELCOME_SECONDS = 15
# A server that ends closes its tail, which cuts every reader; who is deaf to that is let go then.
FAREWELL_SECONDS_MAX = 2
RECONNECT_MS = 1000
CHUNK_BYTES_MAX = 65_536
ID_DIGITS_MAX = 18
ENCODED_EVENTS_MAX = 64

HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
EXAMPLE = (
    "id: 17\nretry: 1000\n\n"
    "id: 18\nevent: run_started\n"
    'data: {"run_id": "7b0c", "agent_type": "warehouse_health", "objective": "look",'
    ' "plan": {"steps": ["query", "judge"], "dry_run": true},'
    ' "timestamp": "2026-11-25T09:00:00.000000Z"}\n\n'
)

router = APIRouter()
_log = get_logger(__name__, component="api")


class Listener(NamedTuple):
    """Whose events are read, and whether whoever reads them may go on, asked anew at each call."""

    org: str
    is_welcome: Callable[[], bool]


def listener_of() -> Listener:
    """Who reads; the app overrides it with the caller and what his key still opens."""
    return Listener(get_settings().org_id, lambda: True)


def tail_of(request: Request) -> Tail:
    """The app's one tail of its ledger, as `app.state.tail`."""
    tail: Tail = request.app.state.tail
    return tail


class _Wire:
    """Encodes an event once for all who are told of it: they are given the same object."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, tuple[EventRow, bytes]] = OrderedDict()

    def of(self, event: EventRow) -> bytes:
        known = self._known.get(id(event))
        # Whoever is kept here keeps its identity, too.
        if known is not None and known[0] is event:
            return known[1]
        encoded = f"id: {event.seq}\n".encode() + _message(event.kind, payload_of(event))
        self._known[id(event)] = event, encoded
        while len(self._known) > ENCODED_EVENTS_MAX:
            self._known.popitem(last=False)
        return encoded


_wire = _Wire()


class EventStream(EventSourceResponse):
    """A response that goes on until its reader leaves, is cut off, or its run has ended."""

    def __init__(self, subscription: Subscription, is_welcome: Callable[[], bool]) -> None:
        self._line = Line()
        super().__init__(
            _told(subscription, self._line),
            headers=HEADERS,
            ping=HEARTBEAT_SECONDS,
            sep="\n",
            send_timeout=SEND_SECONDS_MAX,
            shutdown_grace_period=FAREWELL_SECONDS_MAX,
        )
        self._subscription = subscription
        self._is_welcome = is_welcome

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what there is; whatever ends it, the place is free again afterwards."""
        self._line.begin(scope)
        with self._subscription as reader:
            watching = asyncio.create_task(self._watch(reader))
            try:
                await super().__call__(scope, receive, send)
            except SendTimeoutError:
                # It reads nothing at all, so there is nobody to tell the reason to.
                _log.warning(
                    f"a reader of events took nothing for {SEND_SECONDS_MAX} seconds",
                    metadata={"org": reader.org, "seq": reader.last},
                )
            finally:
                watching.cancel()

    async def _watch(self, reader: Subscription) -> None:
        """Cut a reader off whose key opens nothing any more."""
        is_welcome = True
        while is_welcome:
            await asyncio.sleep(WELCOME_SECONDS)
            # A ledger that is away has no events to tell either.
            with suppress(Unready):
                is_welcome = await asyncio.to_thread(self._is_welcome)
        reader.cut("its key or cookie is no good any more")
        reader.heard.set()


@router.get(
    "/agents/events",
    tags=["events"],
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events; the id is the event's number in the ledger",
            "content": {"text/event-stream": {"example": EXAMPLE}},
        },
        204: {"description": "The run has ended and its last event was read: do not reconnect"},
        **documented(404, 422, 503),
    },
)
async def stream_events(
    listener: Annotated[Listener, Depends(listener_of)],
    tail: Annotated[Tail, Depends(tail_of)],
    run_id: RunId | None = None,
    after: Annotated[int | None, Query(ge=0, lt=10**ID_DIGITS_MAX)] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Tell of all runs from now on, or of one run from its first event to its last.

    `after` goes on after that event; `Last-Event-ID`, which browsers send when they reconnect,
    says the same and comes first. A reader that cannot keep up gets the event `cut` with a reason.
    """
    # Proxies and shells send the header empty where there is nothing to say.
    place = _number(last_event_id) if last_event_id else after
    subscription = await asyncio.to_thread(_open, tail, listener.org, run_id, place)
    if subscription is None:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    return EventStream(subscription, listener.is_welcome)


def _open(tail: Tail, org: str, run_id: str | None, after: int | None) -> Subscription | None:
    """None where the run has told everything up to `after` and will tell no more."""
    if run_id is None:
        return tail.subscribe(org, after=after)
    with answered(404):
        run_id = get_run(tail.ledger, org, run_id).run_id
    end = read_end(tail.ledger, org, run_id)
    if end is not None and after is not None and after >= end:
        return None
    return tail.subscribe(org, run_id, after)


def _number(last_event_id: str) -> int:
    if last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < ID_DIGITS_MAX:
        return int(last_event_id)
    raise Mistake(
        f"header Last-Event-ID {last_event_id[:ID_DIGITS_MAX]!r} is no number of an event",
        "give the id of the last event that was read, or leave it out",
    )


async def _told(reader: Subscription, line: Line) -> AsyncIterator[bytes]:
    # Who loses the line before the first event shall still know after which one to go on.
    yield f"id: {reader.last}\nretry: {RECONNECT_MS}\n\n".encode()
    try:
        async for events in reader:
            for chunk in _chunks(events):
                if not line.write(chunk):
                    yield chunk
    except RoundsmanError as error:
        yield _message("cut", {"reason": error.said, "after": reader.last})


def _chunks(events: list[EventRow]) -> Iterator[bytes]:
    """Several events a write, so that a burst costs little, and few of them in memory."""
    chunk = bytearray()
    for event in events:
        chunk += _wire.of(event)
        if len(chunk) >= CHUNK_BYTES_MAX:
            yield bytes(chunk)
            chunk.clear()
    if chunk:
        yield bytes(chunk)


def _message(name: str, data: Json) -> bytes:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"event: {name}\ndata: {text}\n\n".encode()


def payload_of(event: EventRow) -> Json:
    """What is told of an event; an erased one has no more than its place and time."""
    told = event.payload or {}
    head = {"run_id": event.run_id}
    tail = {"timestamp": f"{event.at:%Y-%m-%dT%H:%M:%S.%fZ}"}
    if event.kind == "run_started":
        plan = {"steps": told.get("plan"), "dry_run": told.get("dry_run")}
        asked = {name: told.get(name) for name in ("agent_type", "objective")}
        return head | asked | {"plan": plan} | tail
    if event.kind == "run_finished":
        names = ("status", "duration_seconds", "artifacts")
        facts = {name: told.get(name) for name in names}
        if facts["artifacts"] is not None:
            facts["artifacts"] = own_names(facts["artifacts"])
        return head | facts | tail
    if event.kind == "run_failed":
        error: Json = told.get("error") or {}
        return head | {"error": str(error.get("message") or "")} | tail
    return head | {"attempt": event.attempt, "payload": event.payload} | tail
