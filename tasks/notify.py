"""Telling people: a channel's trouble is told in the report and never ends the run."""

from __future__ import annotations

import time
from typing import Literal

from pydantic import BaseModel, ConfigDict

from blocks.notify import Notify
from blocks.notify.web import Throttled
from roundsman.agent import step
from roundsman.errors import (
    BudgetSpent,
    Cancelled,
    Denied,
    Fenced,
    Misread,
    Mistake,
    Refused,
    Unready,
)
from roundsman.log import get_logger
from roundsman.permits import NotSent, Permit
from roundsman.rules.messages import Message
from roundsman.rules.redaction import redact_text

# Tried again within a step only where nothing was accepted, and not for long.
WAITS_SECONDS = (0.5, 2.0)
WAIT_SECONDS_MAX = 5.0

State = Literal["done", "failed", "unknown", "denied", "skipped"]
# What became of the message, by the state of a permit that cannot be used any more, or not yet.
WITHOUT_ACT: dict[str, State] = {
    "considered": "skipped",
    "attempting": "skipped",
    "done": "done",
    "failed": "failed",
    "unknown": "unknown",
}

_log = get_logger(__name__, component="notify")


class Sent(BaseModel):
    """What became of one message on one channel."""

    model_config = ConfigDict(frozen=True)

    channel: str
    state: State
    said: str
    title: str = ""
    # Of a message that waits for a person's answer.
    action_id: str | None = None


@step
def send_message(block: Notify, message: Message, permit: Permit) -> Sent:
    """Send a message once, where its permit allows that.

    `done`: now, or before. `failed`: the channel said no, or nothing was accepted: then the permit
    can still be used, by the next run. `unknown`: whether it was taken is unknown. `denied`: by
    policy, or by nobody's having answered yet. `skipped`: a dry run, or another run is at it.
    """
    if permit.may_act:
        sent = _send(block, message, permit)
    else:
        state = WITHOUT_ACT.get(permit.state, "denied")
        sent = Sent(channel=block.place, state=state, said=permit.said)
    if sent.state not in ("done", "skipped"):
        facts = {"channel": sent.channel, "state": sent.state, "said": sent.said}
        _log.warning("a message was not sent", metadata=facts)
    return sent


def _send(block: Notify, message: Message, permit: Permit) -> Sent:
    for wait in (*WAITS_SECONDS, None):
        try:
            receipt = block.send(message, permit=permit)
            return Sent(channel=block.place, state="done", said=receipt.said or "sent")
        except NotSent as error:
            seconds = _wait(error, wait)
            if seconds is None:
                return _told(block, "failed", error)
            time.sleep(seconds)
        except (Refused, Mistake) as error:
            return _told(block, "failed", error)
        except (Unready, Misread) as error:
            return _told(block, "unknown", error)
        except (Cancelled, Fenced):
            raise
        except Denied as error:
            return _told(block, "denied", error)
    raise AssertionError("the last try has no wait")


def _wait(error: NotSent, planned: float | None) -> float | None:
    """Seconds until the next try; None: not in this run."""
    asked = error.after_seconds if isinstance(error, Throttled) else None
    if isinstance(error.__cause__, BudgetSpent):
        return None
    if planned is None or (asked is not None and asked > WAIT_SECONDS_MAX):
        return None
    return planned if asked is None else asked


def _told(block: Notify, state: State, error: Exception) -> Sent:
    return Sent(channel=block.place, state=state, said=redact_text(str(error)))
