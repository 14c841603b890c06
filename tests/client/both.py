"""An `AsyncClient` that is called as a `Client` is, so that one test shows both."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

from roundsman.client import AsyncClient


class Waited:
    """Waits for each answer in a loop of its own."""

    def __init__(self, *given: Any) -> None:
        self._loop = asyncio.Runner()
        self._own = AsyncClient(*given)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run(self._own.close())
        self._loop.close()

    def __repr__(self) -> str:
        return repr(self._own)

    def __getattr__(self, name: str) -> Any:
        own = getattr(self._own, name)

        def waited(*given: Any, **more: Any) -> Any:
            told = own(*given, **more)
            return self._each(told) if inspect.isasyncgen(told) else self._loop.run(told)

        return waited if callable(own) else own

    def _each(self, told: AsyncIterator[Any]) -> Iterator[Any]:
        nothing = object()

        async def following() -> Any:
            return await anext(told, nothing)

        while (one := self._loop.run(following())) is not nothing:
            yield one
