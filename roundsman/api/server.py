"""How the API is served by one process, and how that process ends."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvicorn
from anyio import to_thread
from fastapi import FastAPI

from roundsman.api.app import make_app
from roundsman.api.line import Protocol
from roundsman.errors import Mistake, Unready
from roundsman.settings import Settings
from roundsman.spare import Spare

# Requests that still wait for a run get so long; the run itself goes on without us.
GRACE_SECONDS = 5
WAITING_MAX = 128


class Server(uvicorn.Server):
    """A server that says when it serves, and ends its streams before it waits for requests."""

    def __init__(self, app: FastAPI, said: Callable[[], object]) -> None:
        class Bounded(Protocol):
            connections_max = app.state.settings.api_connections_max

        config = uvicorn.Config(
            app,
            # Our own line a request has no query in it, and is redacted.
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            backlog=WAITING_MAX,
            http=Bounded,
        )
        super().__init__(config)
        self._app = app
        self._said = said
        self._spare = app.state.spare = Spare(app.state.settings)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, and say so."""
        await super().startup(sockets)
        if not self.should_exit:
            with suppress(OSError):
                await to_thread.run_sync(self._spare.fill, self._app.state.settings)
            self._said()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End: streams would never do so by themselves."""
        await to_thread.run_sync(self._app.state.tail.close)
        await to_thread.run_sync(self._spare.close)
        await super().shutdown(sockets)


def serve_until_told(settings: Settings, say: Callable[[str], object]) -> None:
    """Serve until Ctrl-C or SIGTERM; `say` hears the address once somebody can call.

    Raises Mistake for an address that cannot be had, Unready where the ledger cannot be opened.
    """
    listening = listen(settings.api_host, settings.api_port)
    url = _url(listening)
    server = Server(make_app(settings), lambda: say(url))

    def end(_number: int, _frame: Any) -> None:
        server.should_exit = True

    # uvicorn raises the signal once more when it has ended: then too, that is a clean end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    with listening:
        server.run([listening])
    if not server.started:
        raise Unready("the API did not start", "its log says why; see `roundsman doctor`")


def listen(host: str, port: int) -> socket.socket:
    """The listening socket of an address; port 0 takes any that is free."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=WAITING_MAX)
    except OSError as error:
        said = f"the API cannot listen on '{host}' port {port}: {error.strerror}"
        raise Mistake(said, "choose another --host or --port") from error


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
