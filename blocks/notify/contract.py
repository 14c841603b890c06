"""What a channel can be asked: to send a message once, by permit, and whether it is there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr, field_validator, model_validator

from blocks.acting import ActingBlock
from blocks.notify.address import secret_parts
from blocks.patience import seconds_for
from roundsman.errors import BudgetSpent
from roundsman.permits import NotSent, Permit
from roundsman.rules.messages import (
    Event,
    Message,
    Receipt,
    Templates,
    Topic,
    check_template,
    compose,
)
from roundsman.rules.redaction import register_secret
from roundsman.rules.windows import Probe

SECONDS_MAX = 60.0


class Notify(ActingBlock, ABC):
    """A way to tell people. What a lost answer means stands at each `send`.

    `send` raises NotSent where nothing was accepted, Refused where the other side said no, and
    Unready or Misread where nobody knows whether the message was taken.
    """

    NO_UNDO: ClassVar[dict[str, str]] = {
        "send": "a message cannot be taken back; send another one that corrects it"
    }
    twin: ClassVar[bool] = False

    title_template: str | None = Field(
        default=None, description="The title in your own words, a Jinja2 template."
    )
    text_template: str | None = Field(
        default=None, description="The text in your own words, a Jinja2 template."
    )

    @field_validator("title_template")
    @classmethod
    def _title_renders(cls, template: str | None) -> str | None:
        if template is not None:
            check_template(template, "title")
        return template

    @field_validator("text_template")
    @classmethod
    def _text_renders(cls, template: str | None) -> str | None:
        if template is not None:
            check_template(template, "text")
        return template

    @property
    @abstractmethod
    def place(self) -> str:
        """What messages about this channel call it; holds no secret."""

    @abstractmethod
    def send(self, message: Message, *, permit: Permit) -> Receipt:
        """Send the message: one operation, at most once for a permit."""

    @abstractmethod
    def probe(self) -> Probe:
        """Whether the other side is there; never sends a message."""

    def takes(self, event: Event) -> bool:  # noqa: ARG002 a channel that chooses looks at it
        """Whether messages of this event are for this channel."""
        return True

    def compose(self, topic: Topic) -> Message:
        """The message about a topic in this channel's words; to be made before the permit is."""
        return compose(topic, Templates(self.title_template, self.text_template))


class RemoteNotify(Notify, ABC):
    """A channel on the other side of a network."""

    timeout_seconds: float = Field(
        default=15.0, gt=0, le=SECONDS_MAX, description="How long the other side may take."
    )
    ca_file: Path | None = Field(
        default=None, description="The certificate authority of the server, as a PEM file."
    )

    @model_validator(mode="after")
    def _hide_secrets(self) -> RemoteNotify:
        """The other side may repeat them in an answer, and answers are told."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            for part in secret_parts(value) if isinstance(value, SecretStr) else ():
                register_secret(part)
        return self

    def seconds(self) -> float:
        """Pay for one operation, and say how long it may take; NotSent where none is left."""
        try:
            return seconds_for(self.place, self.timeout_seconds)
        except BudgetSpent as error:
            # The permit is claimed by now, and was not used.
            raise NotSent(error.said, error.remedy) from error
