"""How what was typed after --param becomes a run's parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from roundsman.errors import Mistake

PARAMS_BYTES_MAX = 1 << 20


def read_parameters(pairs: list[str], file: Path | None) -> dict[str, Any]:
    """The file's mapping, then each `key=value` over it; dots in a key lead into nested ones."""
    given = _read_file(file) if file else {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip("."):
            example = f"{key.strip('. ') or 'days'}=7"
            raise Mistake(f"--param '{pair}' is not key=value", f"write --param {example}")
        _put(given, key.strip().split("."), _value(text, key))
    return given


def _read_file(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise Mistake(f"--params-file '{file}' does not exist", "name a YAML or JSON file")
    if file.stat().st_size > PARAMS_BYTES_MAX:
        raise Mistake(f"--params-file '{file}' is above 1 MiB", "name a file of parameters")
    try:
        content = _value(file.read_text(encoding="utf-8"), str(file))
    except UnicodeDecodeError as error:
        raise Mistake(f"--params-file '{file}' is not UTF-8", "save it as UTF-8") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise Mistake(f"--params-file '{file}' holds no mapping", "write `key: value` lines")
    return cast("dict[str, Any]", content)


def _put(into: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        inner = into.setdefault(name, {})
        if not isinstance(inner, dict):
            raise Mistake(f"--param '{'.'.join(path)}' leads into a value", "name nested keys once")
        into = cast("dict[str, Any]", inner)
    into[path[-1]] = value


def _value(text: str, where: str) -> Any:
    """YAML, but dates stay text: parameters travel as JSON and the model knows what is a time."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    Loader.yaml_implicit_resolvers = {
        first: [(tag, regexp) for tag, regexp in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        return yaml.load(text, Loader=Loader)  # noqa: S506 - a SafeLoader with one resolver less
    except yaml.YAMLError as error:
        first_line = str(error).splitlines()[0]
        raise Mistake(f"'{where}' is not YAML ({first_line})", "quote the value") from error
