"""An API on a fresh ledger, served and asked over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from roundsman.settings import get_settings
from tests.api.served import Api, make_settings, serving


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Api]]:
    """Serve with other settings: `serve(cors_origins=("https://x.org",))`."""
    with ExitStack() as stack:

        def begin(**changed: Any) -> Api:
            settings = make_settings(tmp_path, **changed)
            # The catalog reads the list of rounds by the process's own settings.
            monkeypatch.setenv("ROUNDSMAN_ROUNDS", str(settings.rounds))
            monkeypatch.setenv("ROUNDSMAN_HOME", str(settings.home))
            get_settings.cache_clear()
            return stack.enter_context(serving(settings))

        yield begin
    get_settings.cache_clear()


@pytest.fixture
def api(serve: Callable[..., Api]) -> Api:
    """An API on a fresh ledger, without a key."""
    return serve()
