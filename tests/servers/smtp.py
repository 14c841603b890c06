"""A real SMTP server on this machine that keeps its mails, and can answer in every bad way."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest

USER, PASSWORD = "roundsman", "a-password-that-nobody-guesses"


class Mail(NamedTuple):
    """One mail as it was handed over, whether it was then taken or not."""

    sender: str
    to: list[str]
    content: bytes


class MailServer:
    """A running server. `answers` maps a moment (greeting, MAIL, an address, DATA) to a reply line,
    or to 'hang' or 'drop': then no reply comes. `mails` is all whose content arrived."""

    def __init__(self, tls: ssl.SSLContext | None = None, login: bool = False) -> None:
        from aiosmtpd.controller import Controller

        self.mails: list[Mail] = []
        self.answers: dict[str, str] = {}
        options: dict[str, Any] = {"tls_context": tls} if tls else {}
        if login:
            options |= {"authenticator": _is_right, "auth_required": True}
            options |= {"auth_require_tls": tls is not None}
        self._controller = Controller(self, hostname="127.0.0.1", port=_free_port(), **options)

    def __enter__(self) -> MailServer:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return self._controller.port

    async def handle_MAIL(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        return await self._reply(server, "MAIL")

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        reply = await self._reply(server, address)
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append(Mail(envelope.mail_from, list(envelope.rcpt_tos), envelope.content))
        return await self._reply(server, "DATA")

    async def _reply(self, server: Any, moment: str) -> str:
        answer = self.answers.get(moment, "250 OK")
        if answer == "drop":
            server.transport.close()
        if answer in ("drop", "hang"):
            # Ends with the server's loop.
            await asyncio.Event().wait()
        return answer


def _is_right(server: Any, session: Any, envelope: Any, mechanism: str, told: Any) -> Any:
    from aiosmtpd.smtp import AuthResult

    given = (told.login.decode(), told.password.decode())
    return AuthResult(success=given == (USER, PASSWORD), handled=False)


def _free_port() -> int:
    from tests.servers.prefect_server import free_port

    return free_port()


@pytest.fixture
def start_mail_server() -> Iterator[Callable[..., MailServer]]:
    """Start SMTP servers; they end with the test."""
    with ExitStack() as running:

        def start(**options: Any) -> MailServer:
            return running.enter_context(MailServer(**options))

        yield start


@pytest.fixture
def mail_server(start_mail_server: Callable[..., MailServer]) -> MailServer:
    """One of them, which wants neither TLS nor a login."""
    return start_mail_server()
