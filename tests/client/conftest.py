"""Both clients against a served API: what one is told, the other is told too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from roundsman.client import Client
from tests.api.conftest import api, serve
from tests.client.both import Waited

__all__ = ["api", "call", "serve"]


@pytest.fixture(params=["Client", "AsyncClient"])
def call(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of either kind: `call(url, key)`."""
    monkeypatch.delenv("ROUNDSMAN_API_KEY", raising=False)
    kind: Callable[..., Any] = {"Client": Client, "AsyncClient": Waited}[request.param]
    with ExitStack() as stack:
        yield lambda *given: stack.enter_context(kind(*given))
