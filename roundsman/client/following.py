"""How the stream of events is read, and followed across lost connections; no network in here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from roundsman.client.errors import ClientError, Unavailable, Unreadable
from roundsman.client.records import Event

# How often in a row a stream is sought that brings nothing new.
RECONNECTS_MAX = 30
PAUSE_SECONDS_DEFAULT = 1.0
PAUSE_SECONDS_MAX = 30.0
# The server breaks a silence after 15.
SILENCE_SECONDS_MAX = 45.0
MESSAGE_BYTES_MAX = 64 << 20
# As many as the API takes back; Python itself reads none of more than 4,300.
DIGITS_MAX = 18
CUT = "cut"
# What a stream that was there is sought again after; None: nobody answered.
PASSING = (None, 429, 502, 503, 504)


class Message(NamedTuple):
    """One message of a stream, as it was sent."""

    seq: int | None
    name: str
    data: str
    retry_seconds: float | None


class Reader:
    """Takes a stream's bytes as they come and gives its messages."""

    def __init__(self) -> None:
        self._left = b""
        self._fields: dict[str, str] = {}

    def feed(self, chunk: bytes) -> list[Message]:
        """The messages that end in this chunk; comments are none."""
        *lines, self._left = (self._left + chunk).split(b"\n")
        if len(self._left) > MESSAGE_BYTES_MAX:
            raise Unreadable("an event of the stream has no end", "check the address")
        found = [self._take(line.rstrip(b"\r").decode("utf-8", "replace")) for line in lines]
        return [message for message in found if message is not None]

    def _take(self, line: str) -> Message | None:
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            before = self._fields.get("data") if name == "data" else None
            self._fields[name] = value if before is None else f"{before}\n{value}"
            return None
        told, self._fields = self._fields, {}
        if not told.keys() - {""}:
            return None
        seq, retry = _number(told.get("id")), _number(told.get("retry"))
        seconds = None if retry is None else retry / 1000
        return Message(seq, told.get("event", ""), told.get("data", ""), seconds)


class Following:
    """Where somebody who follows events stands, and what he does when he is cut off."""

    def __init__(self, run_id: str | None, after: int | None) -> None:
        self._run_id = run_id
        self._last = after
        self._pause = PAUSE_SECONDS_DEFAULT
        self._in_vain = 0
        self._is_known = False

    def request(self) -> dict[str, Any]:
        """What httpx is given to open the stream where the last one ended."""
        own: Mapping[str, str] = {} if self._run_id is None else {"run_id": self._run_id}
        again = {} if self._last is None else {"Last-Event-ID": str(self._last)}
        return {
            "method": "GET",
            "url": "/agents/events",
            "params": own,
            "headers": {"Accept": "text/event-stream", **again},
            "timeout": SILENCE_SECONDS_MAX,
        }

    def hear(self, message: Message) -> Event | None:
        """The event of a message; None for what only says where one stands."""
        self._is_known = True
        if message.retry_seconds is not None:
            self._pause = min(message.retry_seconds, PAUSE_SECONDS_MAX)
        if message.name == CUT:
            # It says nothing that is not in the ledger: the next stream goes on from there.
            return None
        if message.seq is None or (self._last is not None and message.seq < self._last):
            return None
        is_new = message.name != "" and message.seq != self._last
        self._last = message.seq
        if not is_new:
            return None
        self._in_vain = 0
        return Event(seq=message.seq, kind=message.name, data=_data(message))

    def seek_again(self, lost: ClientError | None) -> float:
        """The seconds until the stream is opened anew; raises `lost` where that is no use."""
        self._in_vain += 1
        if lost is not None and not (self._is_known and _passes(lost)):
            raise lost
        if self._in_vain > RECONNECTS_MAX:
            raise lost or Unreadable("the stream of events ends again and again", "see its log")
        if lost is None and self._in_vain == 1:
            return 0.0
        asked = lost.retry_after if lost is not None else None
        return min(max(self._pause, asked or 0.0), PAUSE_SECONDS_MAX)


def _passes(lost: ClientError) -> bool:
    return isinstance(lost, Unavailable) and lost.status in PASSING


def _number(text: str | None) -> int | None:
    if not text or len(text) > DIGITS_MAX or not text.isascii() or not text.isdigit():
        return None
    return int(text)


def _data(message: Message) -> dict[str, Any]:
    try:
        return dict(json.loads(message.data))
    except (ValueError, TypeError) as error:
        said = f"event {message.seq} of the stream is no JSON object"
        raise Unreadable(said, "check the address and both versions") from error
