"""How many bytes one answer over HTTP may have; what comes after them is not read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

# The largest that is asked for, a page of 10,000 rows or 65,536 buckets, has some 10 MiB.
ANSWER_BYTES_MAX = 64 * 1024 * 1024
CHUNK_BYTES = 64 * 1024


class AnswerTooLarge(ValueError):
    """The answer went on after the limit, and its connection was given up."""

    def __init__(self) -> None:
        super().__init__(f"more than {ANSWER_BYTES_MAX} bytes (ANSWER_BYTES_MAX)")


class Whole(NamedTuple):
    """An answer that was read to its end."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class BoundedPool:
    """Connections of urllib3 that read an answer as it comes, whatever length it claims."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def urlopen(self, *args: Any, **options: Any) -> Whole:
        """See urllib3; raises AnswerTooLarge."""
        answer = self._pool.urlopen(*args, preload_content=False, **options)
        data = b"".join(_bounded(answer, CHUNK_BYTES, decode_content=True))
        answer.release_conn()
        return Whole(answer.status, answer.headers, data)

    def close(self) -> None:
        """End the connections that stand idle."""
        self._pool.close()


class BoundedRaw:
    """The raw answer below one of requests; `stream` raises AnswerTooLarge."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, amount: int, decode_content: bool | None = None) -> Iterator[bytes]:
        """See urllib3."""
        return _bounded(self._raw, min(amount, CHUNK_BYTES), decode_content)


def bound(answer: Any, *_: object, **__: object) -> None:
    """Bound an answer of requests before its body is read; a hook for `response`."""
    answer.raw = BoundedRaw(answer.raw)


def _bounded(answer: Any, amount: int, decode_content: bool | None) -> Iterator[bytes]:
    count = 0
    # Counted unpacked: a small answer may be a large one in gzip.
    for chunk in answer.stream(amount, decode_content=decode_content):
        count += len(chunk)
        if count > ANSWER_BYTES_MAX:
            answer.close()
            raise AnswerTooLarge
        yield chunk
