"""The five implementations of one contract of channels, and how each other side is made to act."""

from __future__ import annotations

import email
import email.policy
import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from blocks.notify import (
    EmailNotify,
    Notify,
    OutboxNotify,
    PagerDutyNotify,
    SlackNotify,
    WebhookNotify,
)
from roundsman.rules.messages import Link, Message
from tests.servers.receiver import Receiver
from tests.servers.scripted import Reply
from tests.servers.smtp import MailServer

AT = datetime(2026, 5, 4, 10, 30, tzinfo=UTC)
ROUTING_KEY = "0123456789abcdef0123456789abcdef"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECRET_PATH = "/services/T0000000/B0000000/aSecretThatNobodyGuesses"
WEB_KINDS = ("slack", "webhook", "pagerduty")
KINDS = (*WEB_KINDS, "email", "outbox")


def message(**changed: Any) -> Message:
    """A message about a finding."""
    fields: dict[str, Any] = {
        "id": "0f3c",
        "title": "[high] 132 mails are missing in the warehouse",
        "text": "About: emails-* and analytics.emails\n- 132 keys of 3,920",
        "severity": "high",
        "event": "opened",
        "subject": "analytics.emails",
        "source": "warehouse_health/emails-prod",
        "links": (Link(text="The report", url="https://host.example/r?a=1&b=2"),),
        "dedup_key": "ab12",
        "at": AT,
        "details": {"missing": 132},
    }
    return Message(**(fields | changed))


def web_channel(kind: str, url: str, **more: Any) -> Notify:
    """A channel that posts to this address."""
    options: dict[str, dict[str, Any]] = {
        "slack": {"url": f"{url}{SECRET_PATH}"},
        "webhook": {"url": f"{url}/hooks/roundsman/inbound", "secret": SECRET},
        "pagerduty": {"url": url, "routing_key": ROUTING_KEY},
    }
    kinds = {"slack": SlackNotify, "webhook": WebhookNotify, "pagerduty": PagerDutyNotify}
    # Long enough for this machine, and short enough to wait for.
    return kinds[kind].model_validate({"timeout_seconds": 0.5, **options[kind], **more})


def mail_channel(port: int, **more: Any) -> EmailNotify:
    """A channel that mails to two people through the server on this port."""
    options = {
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "sender": "roundsman@company.example",
        "to": ["ada@company.example", "bob@company.example"],
        "timeout_seconds": 0.5,
    }
    return EmailNotify.model_validate(options | more)


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Channel(NamedTuple):
    """A channel, what its other side has received, and how that is told to act."""

    kind: str
    block: Notify
    received: Callable[[], list[str]]
    act: Callable[[str], None]
    nobody: Notify


def over_web(kind: str, receiver: Receiver) -> Channel:
    """A channel over HTTP."""
    plays = {
        "no": Reply({"error": "no such channel"}, status=404),
        "later": Reply({"error": "slow down"}, status=429, headers={"Retry-After": "0"}),
        "trouble": Reply({"error": "internal"}, status=503),
    }

    def act(play: str) -> None:
        receiver.then(plays.get(play, play))  # type: ignore[arg-type]

    def received() -> list[str]:
        return [request.body.decode() for request in receiver.received]

    nobody = web_channel(kind, f"http://127.0.0.1:{closed_port()}")
    return Channel(kind, web_channel(kind, receiver.url), received, act, nobody)


def over_smtp(server: MailServer) -> Channel:
    """A channel over SMTP."""
    plays = {
        "no": "550 no such channel",
        "later": "451 slow down",
        "trouble": "hang",
        "hang": "hang",
        "drop": "drop",
    }

    def act(play: str) -> None:
        server.answers["DATA"] = plays[play]

    def received() -> list[str]:
        return [readable(mail.content) for mail in server.mails]

    return Channel("email", mail_channel(server.port), received, act, mail_channel(closed_port()))


def into_file(folder: Path) -> Channel:
    """The twin."""
    path = folder / "outbox.jsonl"

    def received() -> list[str]:
        return path.read_text().splitlines() if path.exists() else []

    def act(play: str) -> None:
        raise AssertionError(f"a file cannot '{play}'")

    block = OutboxNotify(path=path)
    return Channel("outbox", block, received, act, OutboxNotify(path=path))


def readable(content: bytes) -> str:
    """A mail's subject and text as a reader sees them."""
    mail = email.message_from_bytes(content, policy=email.policy.default)
    body = mail.get_body()
    assert body is not None
    text = body.get_content().replace("\r\n", "\n")
    return f"{mail['Subject']}\n{text}"


def document(text: str) -> Any:
    """What was posted."""
    return json.loads(text)
