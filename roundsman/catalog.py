"""Which agents and rounds there are, and how one of them is started: a string becomes a flow."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from roundsman.errors import Mistake, RoundsmanError
from roundsman.rules.similar import meant
from roundsman.started import Started

# Only the standard library above: `roundsman agents` and the completion of names load this file.
if TYPE_CHECKING:
    from roundsman.settings import Settings
    from roundsman.store.records import AskedBy

CARDS_FILE = Path(__file__).with_name("agents.json")
REPOSITORY = Path(__file__).parents[1]
# What somebody's unfinished flow may raise while it is imported.
BROKEN_CODE = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError),
    *(OSError, RuntimeError, SyntaxError, TypeError, ValueError, RoundsmanError),
)


class Card(NamedTuple):
    """What can be known of an agent without loading it."""

    name: str
    version: str
    description: str
    capabilities: tuple[str, ...]
    plan: tuple[str, ...]
    params_schema: Mapping[str, Any]
    entrypoint: str
    operation: bool = False


class Round(NamedTuple):
    """One entry of prefect.yaml: an agent with parameters, and when Prefect starts it."""

    name: str
    agent: str
    entrypoint: str
    params: Mapping[str, Any]
    schedules: Sequence[Mapping[str, Any]] = ()
    description: str = ""

    @property
    def full_name(self) -> str:
        """The one spelling of a round: `agent/round`."""
        return f"{self.agent}/{self.name}"


class Order(NamedTuple):
    """What a door wants to have run; `key` given twice starts one run."""

    agent_or_round: str
    params: Mapping[str, Any] = {}
    asked_by: AskedBy | None = None
    user_email: str | None = None
    parent_run_id: str | None = None
    retry_of: str | None = None
    action_id: str | None = None
    key: str | None = None
    # For tests and for agents that are not in the list; no door lets a user set it.
    entrypoint: str | None = None


# What there is.


def cards() -> list[Card]:
    """The cards of all agents and operations, from the file that `make cards` derives."""
    if not CARDS_FILE.exists():
        return []
    found: list[dict[str, Any]] = json.loads(CARDS_FILE.read_text(encoding="utf-8"))
    for card in found:
        card |= {name: tuple(card[name]) for name in ("capabilities", "plan")}
    return [Card(**card) for card in found]


def find_card(name: str) -> Card:
    """The card of an agent; a Mistake lists those that there are (A-025)."""
    known = {card.name: card for card in cards()}
    if name in known:
        return known[name]
    ours = [card.name for card in known.values() if not card.operation]
    raise Mistake(f"Invalid agent_type: '{name}'. Available: {', '.join(ours)}", _hint(name, ours))


def _hint(name: str, agents: list[str]) -> str:
    file, known = REPOSITORY / "flows" / f"{name}.py", rounds()
    is_name = name.isidentifier() and not name.startswith("_")
    if is_name and (file.exists() or any(found.agent == name for found in known)):
        return f"'{name}' is written but has no card: run `make cards`"
    return meant(name, [*agents, *(found.name for found in known)])


def describe(agent: str) -> dict[str, Any]:
    """An agent in the vocabulary of A-004."""
    card = find_card(agent)
    return {
        "name": card.name,
        "version": card.version,
        "description": card.description,
        "capabilities": list(card.capabilities),
    }


def plan(agent: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What an agent would do, with the defaults of A-005."""
    card = find_card(agent)
    given = dict(params or {})
    return {
        "objective": given.pop("objective", "") or card.description,
        "steps": list(card.plan),
        "dry_run": given.pop("dry_run", True),
        "config": given,
    }


def rounds(path: Path | None = None) -> list[Round]:
    """The rounds of prefect.yaml, the only list there is; a Mistake names what is wrong in it."""
    path = path or _rounds_file()
    found: list[Round] = []
    for number, entry in enumerate(_deployments(path)):
        name, entrypoint = entry.get("name"), entry.get("entrypoint")
        if not isinstance(name, str) or not isinstance(entrypoint, str) or ":" not in entrypoint:
            raise Mistake(
                f"'{path}', deployment {number + 1}: a name or an entrypoint is missing",
                "write name: x and entrypoint: flows.y:y",
            )
        parameters = cast("dict[str, Any]", entry.get("parameters") or {})
        given = cast("dict[str, Any]", parameters.get("params") or {})
        agent, told = entrypoint.partition(":")[2], str(entry.get("description") or "")
        found.append(Round(name, agent, entrypoint, given, entry.get("schedules") or (), told))
    return found


def find_round(name: str, path: Path | None = None) -> Round | None:
    """The round called `agent/round`, or `round` where only one agent has one of that name."""
    known = rounds(path)
    exact = [found for found in known if found.full_name == name]
    loose = [found for found in known if found.name == name]
    if exact:
        return exact[0]
    return loose[0] if len(loose) == 1 else None


def resolve(name: str, path: Path | None = None) -> tuple[str, Round | None]:
    """Entrypoint and round of a name; a Mistake lists what there is."""
    if "/" not in name and any(card.name == name for card in cards()):
        return find_card(name).entrypoint, None
    found = find_round(name, path)
    if found is not None:
        return found.entrypoint, found
    agent, slash, _ = name.partition("/")
    of_agent = [known.full_name for known in rounds(path) if known.agent == agent]
    if slash and of_agent:
        raise Mistake(f"Invalid round: '{name}'. Available: {', '.join(of_agent)}")
    return find_card(agent if slash else name).entrypoint, None


def _rounds_file() -> Path:
    from roundsman.settings import get_settings

    return get_settings().rounds


def _deployments(path: Path) -> list[dict[str, Any]]:
    import yaml

    try:
        read: Any = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        return []
    except (OSError, yaml.YAMLError) as error:
        raise Mistake(
            f"'{path}' cannot be read: {error}", "correct it or set ROUNDSMAN_ROUNDS"
        ) from error
    known = cast("dict[str, Any]", read) if isinstance(read, dict) else {}
    found = cast("list[Any] | None", known.get("deployments"))
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise Mistake(f"'{path}' has no list of deployments", "see docs/guides/add-an-agent.md")
    return found


@cache
def code_version(agent_version: str) -> str:
    """Which code runs: the agent's version, ours, and the commit of the folder where known."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        ours = version("roundsman")
    except PackageNotFoundError:
        ours = "unknown"
    commit = _commit(REPOSITORY / ".git")
    return f"{agent_version} (roundsman {ours}{'+' + commit[:12] if commit else ''})"


def _commit(git: Path) -> str:
    try:
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        return (git / head[5:]).read_text(encoding="utf-8").strip() if head[:5] == "ref: " else head
    except OSError:
        return ""


# How one is started.


def prepare(settings: Settings, *more: str) -> Started:
    """Start a child that loads the engine, with `--spare` the agents too, while it has no order."""
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    # A file and not a pipe: a child whose door has died goes on undisturbed.
    said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
    process = subprocess.Popen(
        # -P: the working folder holds no code of ours.
        [sys.executable, "-P", "-m", "roundsman.child", *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=said,
        # Prefect would read .env and prefect.toml of any other folder.
        cwd=settings.home,
        env=settings.child_environment(),
        # A session of its own: Ctrl-C reaches the door alone, which then decides.
        start_new_session=True,
        text=True,
        encoding="utf-8",
    )
    return Started(process, said)


def start(order: Order, settings: Settings, child: Started | None = None) -> Started:
    """Have an order carried out by a process of its own, `child` if one was prepared."""
    return (child or prepare(settings)).send(order)


# `python -m roundsman.catalog`: agents.json is derived, never edited.


def derive_cards(path: Path | None = None) -> list[Card]:
    """Load every agent that prefect.yaml names, and every operation, and take their cards."""
    found = {known.entrypoint for known in rounds(path)}
    files = (REPOSITORY / "flows" / "operations").glob("[!_]*.py")
    operations = {f"flows.operations.{file.stem}:{file.stem}" for file in files}
    made: list[Card] = []
    for entrypoint in sorted(found | operations):
        try:
            made.append(_derive_card(entrypoint))
        except BROKEN_CODE as error:
            raise Mistake(
                f"agent '{entrypoint}' cannot be loaded: {type(error).__name__}: {error}",
                "correct its file, or its entry in prefect.yaml",
            ) from error
    return sorted(made, key=lambda card: (card.operation, card.name))


def _derive_card(entrypoint: str) -> Card:
    from importlib import import_module

    from roundsman.agent import spec_of

    module, _, name = entrypoint.partition(":")
    return spec_of(getattr(import_module(module), name)).card


def write_cards(path: Path | None = None) -> list[Card]:
    """Derive agents.json again and give what it says."""
    made = derive_cards(path)
    text = json.dumps([card._asdict() for card in made], indent=2, ensure_ascii=False)
    CARDS_FILE.write_text(text + "\n", encoding="utf-8")
    return made


def main() -> int:
    """Derive the cards and list them; one sentence on stderr where an agent is broken."""
    try:
        made = write_cards()
    except Mistake as mistake:
        sys.stderr.write(f"{mistake}\n")
        return 2
    for card in made:
        sys.stdout.write(f"{card.name} {card.version}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
