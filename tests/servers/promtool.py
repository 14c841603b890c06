"""Prometheus: its checks of configuration and rules, and a real server that scrapes."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx

WAIT_SECONDS_MAX = 60
STOP_SECONDS_MAX = 20
MONITORING = Path(__file__).parents[2] / "deployments/monitoring"


def available() -> bool:
    """Whether both programs, which come in one package, are on this machine."""
    return all(shutil.which(name) for name in ("promtool", "prometheus"))


class Prometheus(NamedTuple):
    """A running server."""

    url: str

    def value(self, query: str) -> float | None:
        """What a query gives now, None while it gives nothing."""
        found = self._ask("query", query=query)["result"]
        return float(found[0]["value"][1]) if found else None

    def until(self, query: str, value: float) -> None:
        """Wait for an answer."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while (found := self.value(query)) != value:
            assert time.monotonic() < deadline, f"{query} stays {found}; {self.targets()}"
            time.sleep(0.1)

    def targets(self) -> list[dict[str, Any]]:
        """What is scraped, and how that went."""
        return self._ask("targets")["activeTargets"]

    def _ask(self, what: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{what}", params=parameters, trust_env=False)
        return answer.raise_for_status().json()["data"]


@contextlib.contextmanager
def scraping(folder: Path, target: str) -> Iterator[Prometheus]:
    """Start a server on our own configuration, only quicker and with one target."""
    text = (MONITORING / "prometheus.yml").read_text()
    for ours, tests in [
        ("127.0.0.1:8080", target),
        ("rules/*.yml", str(MONITORING / "rules/*.yml")),
        ("15s", "1s"),
        ("5s", "1s"),
    ]:
        assert ours in text
        text = text.replace(ours, tests)
    (folder / "prometheus.yml").write_text(text)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    with (folder / "prometheus.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, f"--web.listen-address={address}"], cwd=folder, stdout=log, stderr=log
        )
    try:
        _wait(server, f"http://{address}/-/ready", folder / "prometheus.log")
        yield Prometheus(f"http://{address}")
    finally:
        server.terminate()
        try:
            server.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, trust_env=False).is_success:
                return
        time.sleep(0.05)
    raise TimeoutError(log.read_text())
