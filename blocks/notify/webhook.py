"""Any web hook, signed by the Standard Webhooks scheme so that its receiver can trust it."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr

from blocks.notify import web
from blocks.notify.address import check_secret_url, host_of
from blocks.notify.contract import RemoteNotify
from roundsman.permits import Permit, effect
from roundsman.rules.messages import Message, Receipt
from roundsman.rules.windows import Probe

# The scheme's own bounds for a secret.
SECRET_BYTES_MIN = 24
SECRET_BYTES_MAX = 64
SECRET_PREFIX = "whsec_"


def _check_secret(secret: SecretStr) -> SecretStr:
    try:
        bare = secret.get_secret_value().removeprefix(SECRET_PREFIX)
        key = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:
        key = b""
    if not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        raise ValueError(
            f"is no secret of Standard Webhooks; write '{SECRET_PREFIX}' and the base64 of "
            f"{SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} random bytes"
        ) from None
    return secret


class WebhookNotify(RemoteNotify):
    """An address that takes JSON, whose signature tells that it is from us."""

    _block_type_name = "Notify a web hook"
    _block_type_slug = "webhook-notify"
    _description = "Any web hook; what is sent is signed by the Standard Webhooks scheme."
    kind: ClassVar[str] = "webhook"

    url: Annotated[SecretStr, AfterValidator(check_secret_url)] = Field(
        description="Where messages are posted to."
    )
    secret: Annotated[SecretStr, AfterValidator(_check_secret)] = Field(
        description="What they are signed with: 'whsec_' and base64."
    )

    @property
    def place(self) -> str:
        """See the contract."""
        return f"webhook at '{host_of(self.url.get_secret_value())}'"

    @effect("once")
    def send(self, message: Message, *, permit: Permit) -> Receipt:
        """See the contract; the message's id is the 'webhook-id', by which receivers know it."""
        seconds, now = self.seconds(), datetime.now(UTC)
        body = json.dumps(body_of(message), ensure_ascii=False)
        request = web.Post(
            place=self.place,
            url=self.url.get_secret_value(),
            body=body.encode(),
            headers={"Content-Type": "application/json", **self._signed(message.id, now, body)},
            ca_file=self.ca_file,
        )
        answer = web.post(request, seconds)
        return Receipt(place=self.place, reference=message.id, said=answer.said, at=now)

    def probe(self) -> Probe:
        """See the contract."""
        return web.look_at(self.place, self.url.get_secret_value(), self.ca_file)

    def _signed(self, message_id: str, now: datetime, body: str) -> dict[str, str]:
        from standardwebhooks import Webhook

        signature = Webhook(self.secret.get_secret_value()).sign(message_id, now, body)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        }


def body_of(message: Message) -> dict[str, object]:
    """Type, time and data, as the scheme recommends."""
    told = message.model_dump(mode="json")
    return {"type": f"roundsman.{message.event}", "timestamp": told["at"], "data": told}
