"""What a caller of the API is told when it is not answered as it wished.

ClientError
├── NotAllowed     401, 403: no good key, a key without the permission, or policy's no
├── NotFound       404: there is none, or it is another org's
├── Conflict       409: it has ended, or was answered before
├── Invalid        any other 4xx: what was sent is wrong
├── Unavailable    429, 5xx, no answer at all: try again
└── Unreadable     it answered, but not as the API does
"""

from __future__ import annotations

from roundsman.errors import Denied, Misread, Mistake, RoundsmanError, Unready


class ClientError(RoundsmanError):
    """`said` is the API's own sentence, `request_id` what its log calls the request.

    `run_id` is the row of a run that was refused, `retry_after` the seconds to wait first.
    """

    run_id: str | None = None
    request_id: str | None = None
    retry_after: float | None = None

    @property
    def detail(self) -> str:
        """The problem's sentence (RFC 9457)."""
        return self.said


class NotAllowed(ClientError, Denied):
    """No good key, a key without the permission, or policy's no."""


class NotFound(ClientError, Mistake):
    """There is none, or it is another org's."""


class Conflict(ClientError, Mistake):
    """It has ended, or was answered before."""


class Invalid(ClientError, Mistake):
    """What was sent is wrong; the sentence names the field."""


class Unavailable(ClientError, Unready):
    """Nobody answered, or only to say: later."""


class Unreadable(ClientError, Misread):
    """What answered does not speak as the API does."""
