"""How the chunks of an endless answer reach a reader's socket without passing the whole server."""

from __future__ import annotations

import asyncio

from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

# Under this name of its state a request knows the socket that it came through.
TRANSPORT = "transport"


class Protocol(H11Protocol):
    """HTTP as uvicorn speaks it; its requests know their transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin a connection."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, TRANSPORT: transport}


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
