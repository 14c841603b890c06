"""What every request has to pass before a route sees it: host, origin, kind and size of body."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from typing import NamedTuple
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from roundsman.api.problems import problem
from roundsman.log import get_logger, log_context
from roundsman.settings import LOOPBACK_HOSTS, Settings

BODY_BYTES_MAX = 1 << 20
BODY_SECONDS_MAX = 30.0
HEADER = "X-Request-ID"
READING = ("GET", "HEAD", "OPTIONS")
EVERYWHERE = ("0.0.0.0", "::", "")
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_JSON = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)
_log = get_logger(__name__, component="api")


class No(NamedTuple):
    """Why a request goes no further."""

    status: int
    said: str


class Guard:
    """Stands around the whole app, so that nothing is read or written for what it refuses."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        own = {settings.api_host} - set(EVERYWHERE)
        public = urlsplit(settings.public_url or "")
        self._hosts = {
            name.lower()
            for name in {*LOOPBACK_HOSTS, *own, *settings.allowed_hosts, public.hostname or ""}
            if name
        }
        self._origins = {origin.rstrip("/").lower() for origin in settings.cors_origins}
        if settings.public_url:
            self._origins.add(f"{public.scheme}://{public.netloc}".lower())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Name the request, refuse it or hand it on, and log how it was answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        request_id = _request_id(request)
        request.state.request_id = request_id
        with log_context(request_id):
            await self._answer(request, receive, _Telling(send, request))

    async def _answer(self, request: Request, receive: Receive, telling: _Telling) -> None:
        no = self._refuses(request)
        changes = request.method not in READING
        if no is None and changes:
            read = await _read_in_time(receive)
            if isinstance(read, No):
                no = read
            else:
                receive = _again(read, receive)
        app = self._app if no is None else problem(request, no.status, no.said)
        await app(request.scope, receive, telling.send)

    def _refuses(self, request: Request) -> No | None:
        name = hostname_of(request.headers.get("host", ""))
        if name not in self._hosts:
            remedy = "name it in ROUNDSMAN_ALLOWED_HOSTS if it is this server's"
            return No(421, f"host '{name[:100]}' is not served here; {remedy}")
        if _length(request) > BODY_BYTES_MAX:
            return _too_large()
        return None if request.method in READING else self._refuses_change(request)

    def _refuses_change(self, request: Request) -> No | None:
        origin = request.headers.get("origin")
        own = f"{request.url.scheme}://{request.headers.get('host', '')}".lower()
        if origin is not None and origin.lower() not in {own, *self._origins}:
            remedy = "name it in ROUNDSMAN_CORS_ORIGINS if its pages may"
            return No(403, f"origin '{origin[:100]}' may not change anything here; {remedy}")
        if not _JSON.fullmatch(request.headers.get("content-type", "").strip()):
            return No(
                415,
                "a request that changes something has a JSON body; send "
                "Content-Type: application/json, and {} where there is nothing to say",
            )
        return None


class _Telling:
    """Adds to an answer what every answer has, and logs it."""

    def __init__(self, send: Send, request: Request) -> None:
        self._send = send
        self._request = request
        self._began = time.monotonic()

    async def send(self, message: Message) -> None:
        """Send on."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SAFE_HEADERS.items():
                headers.setdefault(name, value)
            headers[HEADER] = self._request.state.request_id
            self._tell(message["status"])
        await self._send(message)

    def _tell(self, status: int) -> None:
        # Without the query, in which a caller may have put what is nobody's business.
        said = f"{self._request.method} {self._request.url.path} {status}"
        _log.info(said, metadata={"ms": round((time.monotonic() - self._began) * 1000, 1)})


def _request_id(request: Request) -> str:
    given = request.headers.get(HEADER, "")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())


def hostname_of(host: str) -> str:
    """The name in a Host header, without port and brackets; "" for what is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _length(request: Request) -> int:
    told = request.headers.get("content-length", "0")
    return int(told) if told.isascii() and told.isdigit() else 0


def _too_large() -> No:
    return No(413, f"the body is larger than {BODY_BYTES_MAX:,} bytes; ask for less at once")


async def _read_in_time(receive: Receive) -> bytes | No:
    try:
        return await asyncio.wait_for(_read(receive), BODY_SECONDS_MAX)
    except TimeoutError:
        return No(408, f"the body did not come within {BODY_SECONDS_MAX:g} s; send it again")


async def _read(receive: Receive) -> bytes | No:
    """The whole body, or why it cannot be had, whatever its head said of its size."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            # What came so far may read like a wish, but is not what was wished for.
            return No(400, "the caller left before the end of the body")
        body += message.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            return _too_large()
        if not message.get("more_body", False):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Give the body that was read to whoever asks, and then what comes after it."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> Message:
        return left.pop() if left else await receive()

    return give
