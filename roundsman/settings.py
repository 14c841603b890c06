"""What is particular to this machine: where things are kept and whom we speak to.

The only file that reads the process's environment. Every default runs as it is.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from roundsman.errors import Mistake

PREFIX = "ROUNDSMAN_"
EPHEMERAL_STARTUP_SECONDS = 120
SERVER_FILE = "server.json"
# The key of whoever calls another machine's API; no run of ours has to do with it.
API_KEY = PREFIX + "API_KEY"
PS_SECONDS_MAX = 5
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _parted(value: object) -> object:
    return (
        [name for name in re.split(r"[,\s]+", value) if name] if isinstance(value, str) else value
    )


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parted)]


def _below_home(*parts: str) -> Callable[[dict[str, Any]], Path]:
    # `home` is absent from `data` when it was itself refused; that error is the one to show.
    return lambda data: data.get("home", Path()).joinpath(*parts)


class Settings(BaseSettings):
    """One machine's settings; each is the environment variable ROUNDSMAN_<NAME>."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore"
    )

    home: AbsolutePath = Field(
        default=Path("~/.roundsman"), validate_default=True, description="The folder of it all"
    )
    org_id: str = Field(default="default", min_length=1, description="Whose rows are meant")
    database_url: str | None = Field(
        default=None, description="The ledger's SQLAlchemy URL; unset: ledger.db in home"
    )
    chain_key: AbsolutePath = Field(
        default_factory=_below_home("keys", "chain.key"),
        description="The key of the event chain, outside database and backup",
    )
    anchor: AbsolutePath = Field(
        default_factory=_below_home("anchors.jsonl"),
        description="Where heads of the chain are appended at each run's end",
    )
    artifacts: AbsolutePath = Field(
        default_factory=_below_home("artifacts"), description="The folder of reports"
    )
    systems: AbsolutePath = Field(
        default_factory=_below_home("systems.yaml"), description="The systems and how to reach them"
    )
    policy: AbsolutePath = Field(
        default_factory=_below_home("policy.yaml"),
        description="What agents may do by themselves; where it is missing, the default policy",
    )
    rounds: AbsolutePath = Field(
        default=Path(__file__).parent.parent / "prefect.yaml", description="The list of rounds"
    )
    execute: Literal["here", "prefect"] = Field(
        default="here", description="Runs in a child of this machine, or on a Prefect worker"
    )
    prefect_api_url: str | None = Field(
        default=None, description="A Prefect server; unset: the one of `make up`, else a temporary"
    )
    prefect_auth: SecretStr | None = Field(
        default=None, description="user:password of that server, where it asks for one"
    )
    prefect_home: AbsolutePath = Field(
        default_factory=_below_home("prefect"), description="Prefect's own folder, never ~/.prefect"
    )
    user_email: str | None = Field(default=None, description="Who asks, as the record shows it")
    api_host: str = Field(
        default="127.0.0.1", min_length=1, description="Where the API listens; others need a key"
    )
    api_port: int = Field(default=8080, ge=0, le=65_535, description="The API's port; 0: any")
    api_spare_children: int = Field(
        default=1, ge=0, le=1, description="Processes that wait for the API's next run; 0: none"
    )
    api_requests_per_minute: int = Field(
        default=600, ge=1, le=1_000_000, description="Of one key, or of one address without a key"
    )
    api_runs_max: int = Field(
        default=16,
        ge=1,
        le=1_000,
        description="Runs that the API has going at once on this machine; others get a 503",
    )
    api_connections_max: int = Field(
        default=1200,
        ge=2,
        le=100_000,
        description="Open connections of one server, streams among them; others get a 503",
    )
    allowed_hosts: Names = Field(
        default=(), description="Names the API answers to beside this machine's; by commas"
    )
    cors_origins: Names = Field(
        default=(), description="Origins whose pages may call the API, as https://x.org; by commas"
    )
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[A-Za-z0-9_.:\[\]~%-]+(/[A-Za-z0-9_.~%!$&'()*+,;=:@/-]*)?$",
        description="The API's address as others see it, for links in messages",
    )
    remote: str | None = Field(
        default=None, description="The address of an API that commands ask instead of this machine"
    )
    retention_days: int | None = Field(
        default=None,
        ge=1,
        le=36_500,
        description="What `roundsman erase --expired` keeps; unset: everything, for ever",
    )
    log_level: Literal["debug", "info", "warning", "error", "critical"] = Field(
        default="info", description="The least severe line that is logged"
    )
    log_dir: AbsolutePath | None = Field(
        default=None, description="A folder for rotated log files; unset: stderr only"
    )
    log_format: Literal["json", "console"] = Field(
        default="console", description="One JSON object a line, or words for a person"
    )
    step_threads: int = Field(
        default=8, ge=1, le=64, description="How many step bodies may run at once"
    )
    streams_max: int = Field(
        default=1000, ge=1, le=100_000, description="How many may follow the events of one server"
    )

    @property
    def ledger_url(self) -> str:
        """The ledger's SQLAlchemy URL."""
        return self.database_url or f"sqlite:///{self.home / 'ledger.db'}"

    @property
    def prefect_database_url(self) -> str:
        """A single-connection SQLite URL for a Prefect server of ours.

        Prefect looks for `:memory:` in the URL and then holds one connection, which does away
        with the 503s of concurrent creates; the data do persist in the file.
        """
        path = self.prefect_home / "prefect.db"
        options = "uri=true&check_same_thread=false&pool=:memory:"
        return f"sqlite+aiosqlite:///file:{path}?{options}"

    @property
    def server_file(self) -> Path:
        """Where a server started by `make up` or the demo says its address and process."""
        return self.prefect_home / SERVER_FILE

    def prefect_url(self) -> str | None:
        """The Prefect server to speak to; None means a temporary one inside the run's process."""
        if self.prefect_api_url:
            return self.prefect_api_url
        return read_server(self.server_file)

    def child_environment(self) -> dict[str, str]:
        """The environment of a run's process: ours, and no trace of anybody else's Prefect."""
        own = {API_KEY, *(PREFIX + name.upper() for name in type(self).model_fields)}
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("PREFECT_") and name not in own
        }
        return kept | self._own_variables() | self._prefect_variables()

    def _own_variables(self) -> dict[str, str]:
        values = self.model_dump(exclude_none=True, exclude={"remote"})
        if self.prefect_auth is not None:
            values["prefect_auth"] = self.prefect_auth.get_secret_value()
        return {PREFIX + name.upper(): _spelled(value) for name, value in values.items()}

    def _prefect_variables(self) -> dict[str, str]:
        variables = {
            "DO_NOT_TRACK": "1",
            "PREFECT_HOME": str(self.prefect_home),
            "PREFECT_PROFILES_PATH": str(self.prefect_home / "profiles.toml"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": str(EPHEMERAL_STARTUP_SECONDS),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": self.prefect_database_url,
            "PREFECT_CLI_PROMPT": "false",
        }
        url = self.prefect_url()
        if url:
            variables["PREFECT_API_URL"] = url
        if url and self.prefect_auth is not None:
            variables["PREFECT_API_AUTH_STRING"] = self.prefect_auth.get_secret_value()
        return variables


def _spelled(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(cast("tuple[str, ...]", value))
    return str(value)


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """This process's settings, read once; a bad value is a Mistake that names its variable."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = PREFIX + str(first["loc"][0] if first["loc"] else "").upper()
        raise Mistake(f"{name}: {first['msg']}", "correct or unset the variable") from error


def choose_home(home: Path) -> None:
    """Use another home from now on, in this process and in those that it starts."""
    os.environ[PREFIX + "HOME"] = str(_absolute(home))
    get_settings.cache_clear()


def environment() -> Mapping[str, str]:
    """The process's environment, to look values up in; for references in systems.yaml."""
    return MappingProxyType(os.environ)


def foreign_prefect() -> tuple[str, ...]:
    """Names of Prefect variables in the environment that a run of ours will not see."""
    ignored = ("PREFECT_SERVER_ANALYTICS_ENABLED",)
    return tuple(sorted(n for n in os.environ if n.startswith("PREFECT_") and n not in ignored))


def read_server(path: Path) -> str | None:
    """The address in a server file whose process still lives, else None."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        url, pid, started = str(told["url"]), int(told["pid"]), str(told.get("started", ""))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    lives = process_started(pid)
    if lives is None or (started and lives and started != lives):
        return None
    return url


def process_started(pid: int) -> str | None:
    """When the process began, in the system's own unit; None: it is gone.

    A zombie, which only waits to be collected, is gone.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError, NotADirectoryError):
        return None if Path("/proc/self/stat").exists() else _started_by_ps(pid)
    # The second field is the command in brackets and may hold anything, blanks and brackets too.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]


def _started_by_ps(pid: int) -> str | None:
    asked = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        timeout=PS_SECONDS_MAX,
        check=False,
    )
    state, _, started = asked.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()
