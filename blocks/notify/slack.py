"""A Slack-compatible incoming web hook: Slack, Mattermost, Rocket.Chat and their kin.

Not through slack_sdk: its WebhookClient follows redirects, reads answers without a bound, takes a
proxy from the environment, and sends again by itself after a lost connection.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr

from blocks.notify import web
from blocks.notify.address import check_secret_url, host_of
from blocks.notify.contract import RemoteNotify
from roundsman.permits import Permit, effect
from roundsman.rules.messages import Message, Receipt
from roundsman.rules.windows import Probe

LETTERS = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# Slack needs <!channel> to call people, its kin only @channel: both must stay mere words.
_CALL = re.compile(r"(?<![\w.+-])@(?=\w)")
_APART = "@\u2060"


class SlackNotify(RemoteNotify):
    """A channel of Slack, or of what speaks its web hooks."""

    _block_type_name = "Notify on Slack"
    _block_type_slug = "slack-notify"
    _description = "A Slack-compatible incoming web hook that messages are sent to."
    kind: ClassVar[str] = "slack"

    url: Annotated[SecretStr, AfterValidator(check_secret_url)] = Field(
        description="The incoming web hook's address, which is the secret."
    )

    @property
    def place(self) -> str:
        """See the contract."""
        return f"slack at '{host_of(self.url.get_secret_value())}'"

    @effect("once")
    def send(self, message: Message, *, permit: Permit) -> Receipt:
        """See the contract; a lost answer is never sent again by itself."""
        request = web.Post(
            place=self.place,
            url=self.url.get_secret_value(),
            body=json.dumps(body_of(message)).encode(),
            headers={"Content-Type": "application/json"},
            ca_file=self.ca_file,
        )
        answer = web.post(request, self.seconds())
        return Receipt(
            place=self.place, reference=message.id, said=answer.said, at=datetime.now(UTC)
        )

    def probe(self) -> Probe:
        """See the contract."""
        return web.look_at(self.place, self.url.get_secret_value(), self.ca_file)


def body_of(message: Message) -> dict[str, object]:
    """What is posted: text in which nothing calls people or becomes a link but our own links."""
    lines = [f"*{escape(message.title)}*", escape(message.text)]
    lines += [f"<{link.url.translate(LETTERS)}|{escape(link.text)}>" for link in message.links]
    text = "\n".join(line for line in lines if line)
    return {"text": text, "unfurl_links": False, "unfurl_media": False}


def escape(text: str) -> str:
    """The text as Slack shows it and not as it would obey it."""
    return _CALL.sub(_APART, text).translate(LETTERS)
