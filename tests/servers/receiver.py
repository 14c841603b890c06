"""A local web server that counts what it received, and can answer it in every bad way."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler
from typing import Literal

import pytest

from tests.servers.scripted import Local, Reply, Request

# hang: the request was read, and no answer comes. drop: it was read, and the line goes dead.
# torn: status and headers come, and then the line goes dead. reset: it is not even read.
Misbehaviour = Literal["hang", "drop", "torn", "reset"]


class Receiver(Local):
    """A running server. `received` is all that arrived whole; each takes the next of `answers`,
    the last of them for ever, and 200 'ok' where none was given."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.received: list[Request] = []
        self.answers: list[Reply | Misbehaviour] = []
        super().__init__(_handler(self), tls)

    def then(self, *answers: Reply | Misbehaviour) -> Receiver:
        """Answer what comes next so."""
        self.answers = list(answers)
        return self

    def next_answer(self) -> Reply | Misbehaviour:
        """What the next request gets."""
        if not self.answers:
            return Reply(b"ok", headers={"Content-Type": "text/plain"})
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def hang(self) -> None:
        """Wait until the test is over."""
        self.let_go.wait()


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            answer = receiver.next_answer()
            if answer == "reset":
                self._cut()
                return
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(length)
            receiver.received.append(Request(self.command, self.path, {}, headers, body))
            if answer == "hang":
                receiver.hang()
            if isinstance(answer, Reply):
                self._tell(answer, len(answer.raw()))
            elif answer == "torn":
                self._tell(Reply(b"half"), 1_000_000)
            if not isinstance(answer, Reply):
                self._cut()

        def _tell(self, reply: Reply, length: int) -> None:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(reply.raw())

        def _cut(self) -> None:
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

        do_GET = do_POST = do_PUT = do_HEAD = _answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Requests are kept, not printed."""

    return Handler


@pytest.fixture
def start_receiver() -> Iterator[Callable[..., Receiver]]:
    """Start receivers; they end with the test."""
    with ExitStack() as running:

        def start(tls: ssl.SSLContext | None = None) -> Receiver:
            return running.enter_context(Receiver(tls))

        yield start


@pytest.fixture
def receiver(start_receiver: Callable[..., Receiver]) -> Receiver:
    """One of them, without TLS."""
    return start_receiver()
