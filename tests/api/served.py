"""The API as others meet it: served on a port of this machine, and asked over HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from roundsman.api.app import make_app
from roundsman.api.server import Server, listen
from roundsman.settings import Settings
from roundsman.store import Ledger, keys, open_ledger
from roundsman.store.keys import NewKey
from tests.ledgers import lay_file

START_SECONDS = 30
# A process that loads every agent is no part of most tests.
QUIET = {"api_requests_per_minute": 100_000, "api_spare_children": 0}
ROUNDS = """
deployments:
  - name: quick
    entrypoint: tests.agents.looking:looking
    description: Looks at nothing.
    parameters: {params: {operations: 2}}
    schedules: [{cron: "0 6 * * *"}]
  - name: noting
    entrypoint: tests.agents.looking:noting
  - name: straying
    entrypoint: tests.agents.looking:straying
  - name: form
    entrypoint: flows.operations.decide:decide
"""


class Api(NamedTuple):
    """A served API, its ledger, and a client that calls it without a key."""

    url: str
    settings: Settings
    ledger: Ledger
    client: httpx.Client

    def key(self, *permissions: str, org: str = "default", name: str = "ann@example.org") -> str:
        """The secret of a new key."""
        wanted = NewKey(name, permissions, None, "tests")
        return keys.create_key(self.ledger, org, wanted)[1]

    def call(self, method: str, path: str, key: str | None = None, **more: Any) -> httpx.Response:
        """Call a route, with a key if one is given; what changes something sends JSON."""
        headers = dict(more.pop("headers", {}))
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        if method == "POST" and "content" not in more:
            more.setdefault("json", {})
        return self.client.request(method, path, headers=headers, **more)

    def get(self, path: str, key: str | None = None, **more: Any) -> httpx.Response:
        """Read."""
        return self.call("GET", path, key, **more)

    def post(self, path: str, key: str | None = None, **more: Any) -> httpx.Response:
        """Change."""
        return self.call("POST", path, key, **more)

    def events(self) -> int:
        """How much the ledger has been told."""
        with self.ledger.reading() as connection:
            row = self.ledger.execute(connection, "SELECT count(*) FROM events", {})
            return int(row.scalar())


@contextmanager
def serving(settings: Settings, port: int = 0) -> Iterator[Api]:
    """Serve an app in a thread, as `roundsman serve` does in a process."""
    listening = listen("127.0.0.1", port)
    up = threading.Event()
    server = Server(make_app(settings), up.set)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    assert up.wait(START_SECONDS)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    ledger = open_ledger(settings.ledger_url, settings.chain_key, settings.anchor)
    with httpx.Client(base_url=url, timeout=60) as client:
        yield Api(url, settings, ledger, client)
    ledger.close()
    server.should_exit = True
    thread.join(START_SECONDS)
    listening.close()


def make_settings(folder: Path, **changed: Any) -> Settings:
    """A home of one's own with a few tiny rounds."""
    folder.mkdir(parents=True, exist_ok=True)
    rounds = folder / "prefect.yaml"
    rounds.write_text(ROUNDS)
    fields: dict[str, Any] = {
        "home": folder / "home",
        "rounds": rounds,
        "user_email": "me@here.org",
    }
    settings = Settings(**(fields | QUIET | changed))
    if settings.database_url is None:
        lay_file(settings.home)
    return settings


def until(look: Callable[[], Any], seconds: float = 30) -> Any:
    """What `look` gives once it gives something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")
