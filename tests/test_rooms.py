"""The house rule: who may import whom, and which library has which door."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("deployments", "flows", "tasks", "blocks", "roundsman")

# Inside roundsman: a module may import its own floor and those below it.
INNER_FLOORS = (
    {"cli", "api", "demo"},
    {
        *("agent", "approvals", "attempt", "budget", "catalog", "child", "envelope"),
        *("permits", "spare", "started", "steps", "threads"),
    },
    {"store", "events", "metrics", "log"},
    {"client", "policy", "settings"},
    {"rules"},
    {"errors"},
)
# Libraries that a rule may use beside the standard library.
PURE_LIBRARIES = {"pydantic", "jinja2", "croniter", "dateutil"}
# Standard modules through which a rule could reach the world.
IMPURE = {"os", "io", "socket", "subprocess", "random", "time", "logging", "pathlib", "sqlite3"}
# library: the files (or rooms) that may import it.
DOORS = {
    "prefect": (
        "roundsman/agent.py",
        "roundsman/catalog.py",
        "roundsman/events.py",
        "flows/",
        "tasks/",
        "blocks/",
        "deployments/",
    ),
    "sqlalchemy": ("roundsman/store/",),
    "alembic": ("roundsman/store/",),
    "fastapi": ("roundsman/api/",),
    "typer": ("roundsman/cli/",),
    "elasticsearch": ("blocks/search/elasticsearch.py",),
    "elastic_transport": ("blocks/search/elasticsearch.py",),
    "google": ("blocks/warehouse/bigquery",),
    "duckdb": ("blocks/warehouse/duckdb.py",),
    "sqlglot": ("blocks/warehouse/sql.py",),
    "standardwebhooks": ("blocks/notify/webhook.py",),
    "smtplib": ("blocks/notify/email.py",),
}


def _sources() -> list[Path]:
    return [path for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py"))]


@cache
def _imports(path: Path) -> frozenset[str]:
    """Every module named in the file, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def _inner_floor(module: str) -> int | None:
    parts = module.split(".")
    if parts[0] != "roundsman" or len(parts) < 2:
        return None
    return next((i for i, floor in enumerate(INNER_FLOORS) if parts[1] in floor), None)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# One test a rule and not one a file: each names all that break it, and a thousand tests cost time.


def test_a_room_imports_only_its_own_floor_and_those_below() -> None:
    for path in _sources():
        own = FLOORS.index(path.relative_to(ROOT).parts[0])
        above = set(FLOORS[:own])
        wrong = {name for name in _imports(path) if name.split(".")[0] in above}
        assert not wrong, f"{_name(path)} imports {sorted(wrong)}"


def test_inside_roundsman_doors_stand_on_envelope_on_ledgers_on_rules() -> None:
    for path in sorted((ROOT / "roundsman").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        own = _inner_floor(module)
        if own is None:
            no_floor = f"{module} stands on no floor: name it in INNER_FLOORS"
            assert path.name == "__init__.py", no_floor
            continue
        floors = {name: _inner_floor(name) for name in _imports(path)}
        wrong = {name for name, floor in floors.items() if floor is not None and floor < own}
        assert not wrong, f"{module} imports {sorted(wrong)}"


def test_rules_are_pure() -> None:
    for path in sorted((ROOT / "roundsman/rules").rglob("*.py")):
        roots = {name.split(".")[0] for name in _imports(path)}
        foreign = roots - set(sys.stdlib_module_names) - PURE_LIBRARIES - {"roundsman"}
        assert not foreign | (roots & IMPURE), f"{_name(path)} imports {sorted(foreign | roots)}"
        inner = {name for name in _imports(path) if name.startswith("roundsman.")}
        pure = ("roundsman.rules", "roundsman.errors")
        wrong = {name for name in inner if not name.startswith(pure)}
        assert not wrong, f"{_name(path)} imports {sorted(wrong)}"


@pytest.mark.parametrize("library", DOORS)
def test_a_vendor_has_one_door(library: str) -> None:
    for path in _sources():
        if library in {name.split(".")[0] for name in _imports(path)}:
            assert _name(path).startswith(DOORS[library]), f"{_name(path)} imports {library}"


def test_the_environment_is_read_in_settings_only() -> None:
    # The other is a script that takes over the environment of an order, and reads none.
    apart = {"roundsman/settings.py", "blocks/transform/forkserver.py"}
    for path in _sources():
        if _name(path) not in apart:
            text = path.read_text()
            assert "os.environ" not in text, _name(path)
            assert "os.getenv" not in text, _name(path)
