"""How the chunks of an endless answer reach a reader's socket without passing the whole server."""

from __future__ import annotations

import asyncio
import json
import socket

from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from roundsman.api.problems import RETRY_SECONDS
from roundsman.errors import Unready

# Under this name of its state a request knows the socket that it came through.
TRANSPORT = "transport"
# So long a connection may take until its first request has a whole head.
HEAD_SECONDS_MAX = 30.0


class Protocol(H11Protocol):
    """HTTP as uvicorn speaks it; requests know their transport, and answers wait for no ACK.

    One connection too many is told so, and one that never asks anything is closed.
    """

    connections_max: int | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin a connection."""
        super().connection_made(transport)
        most = self.connections_max
        self._is_too_many = most is not None and len(self.connections) > most
        self._patience = self.loop.call_later(HEAD_SECONDS_MAX, self._close_unasked)
        # asyncio does so only where a socket names its protocol, which ours do not: the body would
        # wait 40 ms until the reader's kernel has acknowledged the head.
        at = transport.get_extra_info("socket")
        if at is not None and at.family in (socket.AF_INET, socket.AF_INET6):
            at.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app_state = {**self.app_state, TRANSPORT: transport}

    def data_received(self, data: bytes) -> None:
        """Read on; or say, once something is asked, that there are too many who ask."""
        if not self._is_too_many:
            super().data_received(data)
        elif not self.transport.is_closing():
            self.transport.write(_TOO_MANY)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        self._patience.cancel()
        super().connection_lost(exc)

    def _close_unasked(self) -> None:
        # The parent has none until it was asked something.
        if getattr(self, "cycle", None) is None:
            self.transport.close()


def _answer_too_many() -> bytes:
    said = "more connections are open than this server answers; try again, or close others"
    told = {"type": "about:blank", "title": "Service Unavailable", "status": 503}
    told |= {"detail": said, "instance": "", "error": said, "kind": Unready.wire_type}
    body = json.dumps(told).encode()
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\nRetry-After: {RETRY_SECONDS}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


_TOO_MANY = _answer_too_many()


class Line:
    """The way straight to the socket of a request whose answer has begun.

    An event for 500 readers would else pass 500 times through all that stands around a route.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._is_framed = False

    def begin(self, scope: Scope) -> None:
        """Find the socket; behind another server there is none to be found, and nothing is lost."""
        self._transport = scope.get("state", {}).get(TRANSPORT)
        # As the server frames its own chunks: a reader of HTTP 1.0 knows no frames.
        self._is_framed = scope.get("http_version") == "1.1"

    def write(self, chunk: bytes) -> bool:
        """Whether the chunk is on its way.

        Not where the reader still has to take earlier ones: the server knows how to wait for that.
        """
        to = self._transport
        if to is None or to.is_closing() or to.get_write_buffer_size():
            return False
        to.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._is_framed else chunk)
        return True
