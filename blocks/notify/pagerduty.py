"""PagerDuty's Events API v2: an alert is opened, acknowledged and resolved with its finding.

Not through PagerDuty's client: it sends again by itself, without an end while throttled.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, SecretStr

from blocks.notify import web
from blocks.notify.address import check_url, host_of
from blocks.notify.contract import RemoteNotify
from roundsman.errors import Mistake
from roundsman.permits import Permit, effect
from roundsman.rules.messages import Event, Message, Receipt, Severity
from roundsman.rules.windows import Probe

ENQUEUE = "/v2/enqueue"
ACTIONS: dict[Event, Literal["trigger", "acknowledge", "resolve"]] = {
    "opened": "trigger",
    "worsened": "trigger",
    "reopened": "trigger",
    "reminder": "trigger",
    "acknowledged": "acknowledge",
    "resolved": "resolve",
}
SEVERITIES: dict[Severity, Literal["critical", "error", "warning", "info"]] = {
    "critical": "critical",
    "high": "error",
    "medium": "warning",
    "low": "info",
    "info": "info",
}


class PagerDutyNotify(RemoteNotify):
    """A service of PagerDuty whose people are called."""

    _block_type_name = "Notify on PagerDuty"
    _block_type_slug = "pagerduty-notify"
    _description = "A PagerDuty service with an integration of its Events API v2."
    kind: ClassVar[str] = "pagerduty"

    routing_key: SecretStr = Field(description="The integration key of the service.")
    url: Annotated[str, AfterValidator(check_url)] = Field(
        default="https://events.pagerduty.com",
        description="In the EU: https://events.eu.pagerduty.com",
    )

    @property
    def place(self) -> str:
        """See the contract."""
        return f"pagerduty at '{host_of(self.url)}'"

    def takes(self, event: Event) -> bool:
        """See the contract; an alert that nothing would resolve is none."""
        return event in ACTIONS

    @effect("repeatable")
    def send(self, message: Message, *, permit: Permit) -> Receipt:
        """See the contract; the 'dedup_key' makes of a repetition the same alert."""
        event = event_of(message, self.place)
        told = {"routing_key": self.routing_key.get_secret_value(), **event}
        request = web.Post(
            place=self.place,
            url=f"{self.url.rstrip('/')}{ENQUEUE}",
            body=json.dumps(told).encode(),
            headers={"Content-Type": "application/json"},
            ca_file=self.ca_file,
        )
        answer = web.post(request, self.seconds())
        return Receipt(
            place=self.place,
            reference=event["dedup_key"],
            said=answer.said,
            at=datetime.now(UTC),
        )

    def probe(self) -> Probe:
        """See the contract."""
        return web.look_at(self.place, self.url, self.ca_file)


def event_of(message: Message, place: str) -> dict[str, Any]:
    """The event without its key; a Mistake for what is no alert."""
    action = ACTIONS.get(message.event)
    if action is None:
        raise Mistake(
            f"{place} takes findings, and '{message.title}' is a {message.event}",
            "send reports to a channel of another kind",
        )
    event: dict[str, Any] = {
        "event_action": action,
        "dedup_key": message.dedup_key or message.id,
        "client": "Roundsman",
    }
    if action != "trigger":
        return event
    return event | {
        "payload": {
            "summary": message.title,
            "source": message.subject or message.source,
            "severity": SEVERITIES[message.severity],
            "timestamp": message.at.isoformat(),
            "component": message.source,
            "custom_details": {**message.details, "text": message.text},
        },
        "links": [{"href": link.url, "text": link.text} for link in message.links],
    }
