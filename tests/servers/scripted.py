"""A server that answers from a script and keeps every request: for what no test server has."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import pytest


@dataclass(frozen=True)
class Request:
    """One request as it came over the wire."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON; None when there is none."""
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True)
class Reply:
    """What to answer: a JSON-able body, bytes as they are, or chunks that nobody has counted."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def raw(self) -> bytes:
        """The body as it goes over the wire."""
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()


Answer = Callable[[Request], Reply | None]
# More than any client may read; a script that goes on for ever would hide that nobody hangs up.
CHUNKS_MAX = 2_000


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up early is part of many a script."""


class Local:
    """A web server on loopback, from `with` to its end; over TLS where a context is given."""

    def __init__(
        self, handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None
    ) -> None:
        self.let_go = threading.Event()
        self._server = _Server(("127.0.0.1", 0), handler)
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"


class Scripted(Local):
    """A running server: `answers` are asked in order, the first that is not None is sent.

    An answer may wait for `let_go` (an Event) to be slow; a request that nobody answers gets 599.
    """

    def __init__(
        self,
        *answers: Answer,
        headers: dict[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.answers = list(answers)
        self.headers = headers or {}
        self.requests: list[Request] = []
        self.chunks_sent = 0
        super().__init__(self._handler(), tls)

    def on(self, method: str, ending: str, *replies: Reply) -> Scripted:
        """Answer requests to paths that end so: with one reply after another, the last for ever."""
        left = list(replies)

        def answer(request: Request) -> Reply | None:
            if request.method != method or not request.path.endswith(ending):
                return None
            return left.pop(0) if len(left) > 1 else left[0]

        self.answers.append(answer)
        return self

    def asked(self, ending: str) -> list[Request]:
        """The requests to paths that end so."""
        return [request for request in self.requests if request.path.endswith(ending)]

    def _reply(self, request: Request) -> Reply:
        self.requests.append(request)
        for answer in self.answers:
            reply = answer(request)
            if reply is not None:
                return reply
        return Reply({"error": f"not in the script: {request.method} {request.path}"}, status=599)

    def _handler(scripted) -> type[BaseHTTPRequestHandler]:  # noqa: N805 (the handler has a self of its own)
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                parts = urlsplit(self.path)
                request = Request(
                    method=self.command,
                    path=parts.path,
                    query=dict(parse_qsl(parts.query, keep_blank_values=True)),
                    headers={name.lower(): value for name, value in self.headers.items()},
                    body=self.rfile.read(length),
                )
                reply = scripted._reply(request)
                self.send_response(reply.status)
                headers = {"Content-Type": "application/json", **scripted.headers, **reply.headers}
                for name, value in headers.items():
                    self.send_header(name, value)
                if isinstance(reply.body, Iterator):
                    return self._answer_in_chunks(reply.body)
                raw = reply.raw()
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(raw)
                return None

            def _answer_in_chunks(self, chunks: Iterator[bytes]) -> None:
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for chunk in islice(chunks, CHUNKS_MAX):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                    scripted.chunks_sent += 1
                self.wfile.write(b"0\r\n\r\n")

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = _answer  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                """Requests are kept, not printed."""

        return Handler


@pytest.fixture
def scripted() -> Iterator[Callable[..., Scripted]]:
    """Start scripted servers; they end with the test."""
    with ExitStack() as running:

        def start(*answers: Answer, **options: Any) -> Scripted:
            return running.enter_context(Scripted(*answers, **options))

        yield start
