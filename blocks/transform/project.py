"""Where a dbt project keeps things: its target folder, and the DuckDB file that its builds lock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import yaml

from roundsman.errors import Refused

PROJECT_FILE = "dbt_project.yml"
PROFILES_FILE = "profiles.yml"
YAML_FILES_MAX = 5_000

# {{ env_var('NAME') }} or {{ env_var('NAME', 'default') }}, the one expression that we resolve.
_ENV_VAR = re.compile(
    r"""\{\{\s*env_var\(\s*['"](\w+)['"]\s*(?:,\s*['"]([^'"]*)['"]\s*)?\)\s*\}\}"""
)


class Project(NamedTuple):
    """A project on disk; `duckdb_file` is None unless the target is a DuckDB file that we know."""

    folder: Path
    profiles: Path
    target_folder: Path
    duckdb_file: Path | None
    target: str


def find_project(
    folder: Path, profiles: Path, target: str | None, environment: Mapping[str, str]
) -> Project:
    """The project's places; Refused, naming it, where a file of it is missing or no YAML."""
    settings = _mapping(folder / PROJECT_FILE, "correct project_dir in systems.yaml")
    outputs = _mapping(profiles / PROFILES_FILE, "correct profiles_dir in systems.yaml")
    name = settings.get("profile")
    profile = outputs.get(str(name))
    if not isinstance(profile, dict):
        raise Refused(
            f"dbt profile '{name}' is not in '{profiles / PROFILES_FILE}'",
            f"it has {', '.join(sorted(map(str, outputs))) or 'none'}",
        )
    target = target or _default_target(cast("dict[str, Any]", profile), environment)
    chosen = _output(cast("dict[str, Any]", profile), target)
    own = str(settings.get("target-path") or "target")
    return Project(
        folder=folder,
        profiles=profiles,
        target_folder=folder / (_resolved(own, environment) or "target"),
        duckdb_file=_duckdb_file(chosen, folder, environment),
        target=target,
    )


def mentions_freshness(folder: Path) -> bool:
    """Whether any YAML of the project says 'freshness': if not, dbt need not be asked about it."""
    skipped = {"target", "dbt_packages", "logs", ".git", ".venv"}
    files = (
        path
        for ending in ("*.yml", "*.yaml")
        for path in folder.rglob(ending)
        if not skipped & set(path.relative_to(folder).parts)
    )
    for number, path in enumerate(files):
        if number >= YAML_FILES_MAX or b"freshness" in path.read_bytes():
            return True
    return False


def _mapping(path: Path, remedy: str) -> dict[str, Any]:
    try:
        found: Any = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise Refused(f"dbt file '{path}' does not exist", remedy) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise Refused(f"dbt file '{path}' cannot be read: {reason}", "correct the file") from error
    if not isinstance(found, dict):
        raise Refused(f"dbt file '{path}' is no mapping", "correct the file")
    return cast("dict[str, Any]", found)


def _default_target(profile: dict[str, Any], environment: Mapping[str, str]) -> str:
    return _resolved(str(profile.get("target") or "default"), environment) or "default"


def _output(profile: dict[str, Any], target: str) -> dict[str, Any]:
    """The chosen output; empty where dbt itself will have to say what is wrong."""
    outputs: Any = profile.get("outputs")
    found: Any = outputs.get(target) if isinstance(outputs, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] # a user's own YAML
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _duckdb_file(
    output: dict[str, Any], folder: Path, environment: Mapping[str, str]
) -> Path | None:
    if output.get("type") != "duckdb":
        return None
    path = _resolved(str(output.get("path") or ""), environment)
    if not path or path.startswith((":", "md:", "s3:")):
        return None
    return folder / Path(path).expanduser()


def _resolved(text: str, environment: Mapping[str, str]) -> str | None:
    """The text with its env_var() put in; None where it says something else in braces."""
    text = _ENV_VAR.sub(lambda found: environment.get(found[1], found[2] or ""), text)
    return None if "{{" in text or "{%" in text else text
