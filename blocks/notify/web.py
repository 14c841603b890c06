"""One POST to a web hook, and what its answer, or the lack of one, means for the message."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx

from blocks.notify.address import DEFAULT_PORTS, host_of
from roundsman.errors import Misread, Mistake, Refused, RoundsmanError, Unready
from roundsman.permits import NotSent
from roundsman.rules.plain_text import clean_line
from roundsman.rules.redaction import redact_text
from roundsman.rules.windows import Probe

# Nothing but an answer's status and first words matter.
ANSWER_BYTES_MAX = 8_192
SAID_CHARACTERS_MAX = 300
PROBE_SECONDS = 10.0
# These say that the request was turned away before it was looked at.
NOT_ACCEPTED = frozenset({425, 429})
# The resource is elsewhere, and nothing was done here; 302 and 303 may follow a deed.
MOVED = frozenset({301, 307, 308})
REQUEST_TIMEOUT = 408


class Throttled(NotSent):
    """The other side takes no message now, and says when it will."""

    def __init__(self, said: str, remedy: str, *, status: int, after_seconds: float | None) -> None:
        super().__init__(said, remedy, status=status)
        self.after_seconds = after_seconds


class Post(NamedTuple):
    """A request; `place` names the other side in messages, `url` may be secret."""

    place: str
    url: str
    body: bytes
    headers: Mapping[str, str]
    ca_file: Path | None


class Answer(NamedTuple):
    """The status, and the other side's own words, bounded and without secrets."""

    status: int
    said: str
    after_seconds: float | None


def post(request: Post, seconds: float) -> Answer:
    """Send it once and return the 2xx answer. Redirects are not followed, and neither proxies nor
    certificates are taken from the environment.

    Not through httpx.Client: it logs the address, which may be the secret.
    """
    extensions = {"timeout": httpx.Timeout(seconds).as_dict()}
    headers = {"Accept-Encoding": "identity", "User-Agent": "roundsman", **request.headers}
    made = httpx.Request(
        "POST", request.url, content=request.body, headers=headers, extensions=extensions
    )
    end = time.monotonic() + seconds
    with _transport(request) as transport, _translated(request.place):
        response = transport.handle_request(made)
        answer = Answer(response.status_code, _words(response, end), _retry_after(response))
    if not 200 <= answer.status < 300:
        raise meaning(request.place, answer)
    return answer


def meaning(place: str, answer: Answer) -> RoundsmanError:
    """Our error for an answer that is not 2xx."""
    status = answer.status
    said = f"{place} refused ({status})" + (f": {answer.said}" if answer.said else "")
    if status in NOT_ACCEPTED:
        after = answer.after_seconds
        wait = "later" if after is None else f"after {after:g} s"
        remedy = f"nothing was accepted; it is tried again {wait}"
        return Throttled(said, remedy, status=status, after_seconds=after)
    if status in MOVED:
        return Refused(said, "redirects are not followed: write the final address", status=status)
    if 400 <= status < 500 and status != REQUEST_TIMEOUT:
        return Refused(said, _remedy(status), status=status)
    said = said.replace("refused", "answered", 1)
    unknown = "whether the message was taken is unknown: look there"
    if 300 <= status < 400:
        return Misread(said, f"{unknown}, and write the final address", status=status)
    return Unready(said, unknown, status=status)


def _remedy(status: int) -> str:
    if status in (401, 403):
        return "correct or renew its secret in systems.yaml"
    if status in (404, 410):
        return "the address is not in use: correct it in systems.yaml"
    return "correct its entry in systems.yaml"


def look_at(place: str, url: str, ca_file: Path | None) -> Probe:
    """Whether the address accepts connections, over TLS where it says so; asks nothing."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]
    context = trust(place, ca_file) if parts.scheme == "https" else None
    try:
        with socket.create_connection((host, port), timeout=PROBE_SECONDS) as wire:
            if context:
                context.wrap_socket(wire, server_hostname=host).close()
    except ssl.SSLError as error:
        raise untrusted(place, error) from error
    except OSError as error:
        raise Unready(f"{place} does not answer: {error}", _ADDRESS) from error
    notes = ["whether it takes messages shows only when one is sent"]
    if context is None:
        notes.append("messages go there unencrypted")
    version = f"at '{host_of(url)}'"
    return Probe(reachable=True, version=version, can_write=None, notes=tuple(notes))


_ADDRESS = "start it, or correct its address in systems.yaml"


def _transport(request: Post) -> httpx.HTTPTransport:
    is_safe = urlsplit(request.url).scheme == "https"
    verify = trust(request.place, request.ca_file) if is_safe else False
    return httpx.HTTPTransport(verify=verify, trust_env=False, retries=0)


def trust(place: str, ca_file: Path | None) -> ssl.SSLContext:
    """Whose certificates are believed: the machine's authorities, or the one in the file."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise Mistake(
            f"{place}: 'ca_file' '{ca_file}' cannot be read: {error.strerror or error}",
            "name a readable PEM file",
        ) from error


def untrusted(place: str, error: BaseException) -> Refused:
    """The error of a server whose certificate is not believed."""
    return Refused(
        f"{place} was not trusted: {clean_line(str(error), SAID_CHARACTERS_MAX)}",
        "set 'ca_file' to the server's certificate authority",
    )


@contextmanager
def _translated(place: str) -> Generator[None]:
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        if _is_about_trust(error):
            raise untrusted(place, error) from error
        said = f"{place} cannot be reached: {str(error) or 'it took too long'}"
        raise NotSent(f"{said}; nothing was sent", _ADDRESS) from error
    except httpx.LocalProtocolError as error:
        raise Mistake(f"{place} was not asked: {error}", "correct its entry") from error
    except httpx.TransportError as error:
        what = "in time" if isinstance(error, httpx.TimeoutException) else "completely"
        raise Unready(
            f"{place} did not answer {what} ({type(error).__name__})",
            "whether the message was taken is unknown: look there",
        ) from error


def _is_about_trust(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None


def _words(response: httpx.Response, end: float) -> str:
    """The beginning of the answer's body. The status is known by now: that the rest is slow, long
    or torn changes nothing."""
    read = bytearray()
    with closing(response), suppress(httpx.TransportError):
        for piece in response.iter_raw():
            read += piece
            if len(read) >= ANSWER_BYTES_MAX or time.monotonic() >= end:
                break
    text = bytes(read[:ANSWER_BYTES_MAX]).decode("utf-8", "replace")
    return clean_line(redact_text(text), SAID_CHARACTERS_MAX)


def _retry_after(response: httpx.Response) -> float | None:
    told = response.headers.get("retry-after", "")
    return float(told) if told.isascii() and told.isdigit() and len(told) < 7 else None
