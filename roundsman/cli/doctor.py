"""What a look at this machine finds: what works, what is missing, and how to mend it."""

from __future__ import annotations

import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from roundsman.cli.present import count
from roundsman.errors import RoundsmanError

if TYPE_CHECKING:
    from roundsman.settings import Settings

State = Literal["ok", "warning", "problem"]
DISK_BYTES_LOW = 500 << 20
DISK_BYTES_MIN = 50 << 20
PREFECT_SECONDS = 5.0
WAITING_MAX = 100
KEY_MODE = 0o600
THEIR_PROFILES = Path("~/.prefect/profiles.toml")
QUIET_PROFILES = frozenset({"", "local", "default", "ephemeral"})


class Check(NamedTuple):
    """One thing looked at: what was found, and what to do where it is not well."""

    name: str
    state: State
    said: str
    remedy: str = ""


def look_here(settings: Settings) -> Iterator[Check]:
    """Look at what this process can see by itself: home, ledger, Prefect's address."""
    yield from _home(settings)
    yield from _ledger(settings)
    yield from _policy(settings)
    yield from _acting(settings)
    yield from _systems_file(settings)
    yield from _foreign_prefect()
    yield from _prefect(settings)


def _home(settings: Settings) -> Iterator[Check]:
    home = settings.home
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=home):
            free = shutil.disk_usage(home).free
    except OSError as error:
        said = f"'{home}' is not writable: {error.strerror}"
        yield Check("home", "problem", said, "make it writable or set ROUNDSMAN_HOME")
        return
    yield Check("home", "ok", f"'{home}' is writable")
    state: State = "ok" if free >= DISK_BYTES_LOW else "warning"
    state = "problem" if free < DISK_BYTES_MIN else state
    remedy = "" if state == "ok" else "free some space: a ledger that cannot grow stops all runs"
    yield Check("disk", state, f"{free / (1 << 30):.1f} GiB free", remedy)


def _ledger(settings: Settings) -> Iterator[Check]:
    from roundsman.store import open_ledger
    from roundsman.store.engine import schema_status

    # Before it is opened: opening it makes a key that is too open ours alone again.
    mode = _mode_of(settings.chain_key)
    try:
        open_ledger(settings.ledger_url, settings.chain_key, settings.anchor).close()
        found = schema_status(settings.ledger_url)
    except RoundsmanError as error:
        yield Check("ledger", "problem", error.said, error.remedy)
        return
    yield Check("ledger", "ok", f"'{found.place}' has schema {found.current}")
    key = settings.chain_key
    if mode in (KEY_MODE, None):
        yield Check("chain key", "ok", f"'{key}' is yours alone")
        return
    now = _mode_of(key)
    state: State = "warning" if now == KEY_MODE else "problem"
    said = f"'{key}' had mode {mode:04o}: others may have read it"
    remedy = (
        "it is 0600 now; who else uses this machine?" if now == KEY_MODE else f"chmod 600 {key}"
    )
    yield Check("chain key", state, said, remedy)


def _mode_of(path: Path) -> int | None:
    return path.stat().st_mode & 0o777 if path.exists() else None


def _policy(settings: Settings) -> Iterator[Check]:
    from roundsman.policy import DEFAULT, load_policy
    from roundsman.rules.policy_lint import lint

    own = settings.policy
    path = own if own.exists() else DEFAULT
    try:
        held = load_policy(path)
    except RoundsmanError as error:
        yield Check("policy", "problem", error.said, error.remedy)
        return
    which = f"'{path}'" if path == own else "the default"
    yield Check("policy", "ok", f"{which} has {count(len(held.rules), 'rule')}")
    for one in lint(held):
        yield Check("policy", one.level, one.said, one.remedy)


def _acting(settings: Settings) -> Iterator[Check]:
    from roundsman.store import open_ledger
    from roundsman.store.approvals import Wanted, list_actions, switch_of

    try:
        ledger = open_ledger(settings.ledger_url, settings.chain_key, settings.anchor)
    except RoundsmanError:
        # The look at the ledger has told of it.
        return
    switch = switch_of(ledger, settings.org_id)
    waiting = list_actions(ledger, settings.org_id, Wanted(("waiting",), limit=WAITING_MAX))
    ledger.close()
    if switch is not None and switch.is_on:
        said = f"all are stopped by {switch.who}: {switch.reason or 'no reason given'}"
        yield Check("actions", "warning", said, "let them begin again: roundsman actions resume")
    if waiting:
        more = " or more" if len(waiting) == WAITING_MAX else ""
        said = f"{count(len(waiting), 'action')}{more} waiting for a person's answer"
        yield Check("approvals", "warning", said, "answer: roundsman approvals list")


def _systems_file(settings: Settings) -> Iterator[Check]:
    # What is in it, the look at the systems tells.
    path = settings.systems
    if not path.exists():
        yield Check("systems", "problem", f"'{path}' does not exist", "write it: roundsman init")
    elif not path.is_file():
        said = f"'{path}' is a folder, not a file"
        yield Check("systems", "problem", said, "move it away, then write one: roundsman init")


def _foreign_prefect() -> Iterator[Check]:
    from roundsman.settings import foreign_prefect

    names = foreign_prefect()
    if names:
        said = f"{', '.join(names)} in the environment: ignored by our runs"
        yield Check(
            "environment", "warning", said, "to use a server: set ROUNDSMAN_PREFECT_API_URL"
        )
    profile = _active_profile(THEIR_PROFILES.expanduser())
    if profile:
        said = f"your Prefect profile '{profile}' is ignored by our runs"
        yield Check("profile", "warning", said, "to use its server: set ROUNDSMAN_PREFECT_API_URL")


def _active_profile(path: Path) -> str:
    try:
        told: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    name = str(told.get("active") or "")
    return "" if name in QUIET_PROFILES else name


def _prefect(settings: Settings) -> Iterator[Check]:
    from roundsman.settings import LOOPBACK_HOSTS

    url = settings.prefect_url()
    if url is None:
        yield Check("prefect", "ok", "no server: each run brings a temporary one (10 to 15 s)")
        return
    host = urlsplit(url).hostname or ""
    if host not in LOOPBACK_HOSTS:
        said = f"runs speak to '{url}': is that somebody's production?"
        yield Check("prefect address", "warning", said, "unset ROUNDSMAN_PREFECT_API_URL if not")
    yield _answers(settings, url)


def _answers(settings: Settings, url: str) -> Check:
    from importlib.metadata import version

    import httpx

    ours = version("prefect")
    secret = settings.prefect_auth
    auth = tuple(secret.get_secret_value().split(":", 1)) if secret else None
    try:
        answer = httpx.get(
            f"{url.rstrip('/')}/admin/version",
            timeout=PREFECT_SECONDS,
            auth=httpx.BasicAuth(*auth) if auth and len(auth) == 2 else None,
            trust_env=False,
        )
        answer.raise_for_status()
        theirs = str(answer.json())
    except httpx.HTTPStatusError as error:
        said = f"'{url}' answered {error.response.status_code}"
        return Check("prefect", "problem", said, "check the address, or set ROUNDSMAN_PREFECT_AUTH")
    except (httpx.HTTPError, ValueError) as error:
        said = f"'{url}' does not answer: {error}"
        return Check("prefect", "problem", said, "start it, or unset ROUNDSMAN_PREFECT_API_URL")
    if theirs != ours:
        said = f"'{url}' runs Prefect {theirs}, we run {ours}"
        return Check("prefect", "warning", said, "install the same version on both sides")
    return Check("prefect", "ok", f"'{url}' answers, version {theirs}")


def look_at_systems(settings: Settings) -> Iterator[Check]:
    """Ask every configured system, through an operation in a process of its own."""
    from roundsman.cli.start import finish_operation

    try:
        row = finish_operation("probe_systems", {})
    except RoundsmanError as error:
        yield Check("systems", "problem", error.said, error.remedy)
        return
    found = row.artifacts.get("systems", [])
    if not found:
        said = f"'{settings.systems}' declares no system: no agent has anything to look at"
        yield Check("systems", "problem", said, "name yours in it, as in docs/guides/connect.md")
        return
    yield Check("systems", "ok", f"'{settings.systems}' declares {count(len(found), 'system')}")
    for told in found:
        yield from _system(told)


def _system(told: dict[str, Any]) -> Iterator[Check]:
    name = f"{told['role']} {told['name']}"
    if not told["reachable"]:
        yield Check(name, "problem", f"{told['kind']}: {told['said']}", told["remedy"])
        return
    yield Check(name, "ok", f"{told['kind']} {told['version']} answers")
    if told["can_write"] and not told["may_write"]:
        said = "these credentials could write, and a look needs only to read"
        yield Check(name, "warning", said, "give it credentials that may only read")
    for note in told["notes"]:
        yield Check(name, "ok", note)
