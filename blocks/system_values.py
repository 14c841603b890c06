"""How a value of systems.yaml is read: references, secrets, paths, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

import yaml
from pydantic import BaseModel, SecretStr, ValidationError

from roundsman.errors import Mistake
from roundsman.rules.parameters import WORDS

REFERENCE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
FILE_BYTES_MAX = 1_000_000
SECRET_BYTES_MAX = 100_000
PATH_WORDS = {"path_type": "must be a path, as text"}


class _Loader(yaml.SafeLoader):
    """The safe loader, that also refuses a key written twice (the later would win silently)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys are all different."""
        keys = [key.value for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key '{twice}' is written twice", node.start_mark
            )
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """The file's mapping; Mistake when it is missing, unreadable or no mapping."""
    try:
        text = path.read_text(encoding="utf-8") if path.stat().st_size <= FILE_BYTES_MAX else None
    except FileNotFoundError:
        raise Mistake(f"'{path}' does not exist", "write it with 'roundsman init'") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Mistake(
            f"'{path}' cannot be read: {error}", "make it a readable text file"
        ) from error
    if text is None:
        raise Mistake(f"'{path}' is larger than {FILE_BYTES_MAX} bytes", "shorten it")
    try:
        content = yaml.load(text, Loader=_Loader)  # noqa: S506 (a safe loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise Mistake(f"'{path}'{line}: {problem}", "correct the YAML") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise Mistake(f"'{path}' is no mapping", "write 'search:', 'warehouse:', ...")
    return {str(key): value for key, value in cast("dict[object, Any]", content).items()}


def secret_fields(block: type[BaseModel]) -> list[str]:
    """The fields of a block that hold secrets."""
    return _fields_of(block, SecretStr)


def path_fields(block: type[BaseModel]) -> list[str]:
    """The fields of a block that hold paths."""
    return _fields_of(block, Path)


def _fields_of(block: type[BaseModel], kind: type) -> list[str]:
    return [
        name
        for name, field in block.model_fields.items()
        if field.annotation is kind or kind in get_args(field.annotation)
    ]


def check_reference(path: Path, where: str, value: Any) -> None:
    """Mistake when a secret stands in the file itself, even as a default."""
    if value is None or isinstance(value, dict):
        return
    found = REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if found is None or found["default"]:
        raise Mistake(
            f"'{path}': the secret {where} is written out",
            "write a reference: '${VARIABLE}' or {file: PATH}",
        )


def missing_variables(options: Any, variables: Mapping[str, str]) -> list[str]:
    """The variables that are referred to without a default and have no value."""
    if isinstance(options, Mapping):
        held = list(cast("Mapping[str, Any]", options).values())
        return [name for value in held for name in missing_variables(value, variables)]
    if isinstance(options, list):
        parts = cast("list[Any]", options)
        return [name for part in parts for name in missing_variables(part, variables)]
    if not isinstance(options, str):
        return []
    found = REFERENCE.finditer(options)
    return [m["name"] for m in found if m["default"] is None and not variables.get(m["name"])]


def look_up(
    path: Path, where: str, options: Mapping[str, Any], variables: Mapping[str, str]
) -> dict[str, Any]:
    """The options with every reference replaced; one that resolves to nothing is left out."""
    missing = missing_variables(options, variables)
    if missing:
        raise Mistake(
            f"'{path}': {where} needs the environment variable {missing[0]}",
            f"set {missing[0]}, or give it a default: '${{{missing[0]}:-...}}'",
        )
    found = {
        key: _look_up_value(path, f"{where}.{key}", value, variables)
        for key, value in options.items()
    }
    return {key: value for key, value in found.items() if value is not None}


def _look_up_value(path: Path, where: str, value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        parts = cast("list[Any]", value)
        return [_look_up_value(path, where, part, variables) for part in parts]
    if isinstance(value, dict):
        named = cast("dict[str, Any]", value)
        return _read_secret(path, where, str(named["file"])) if set(named) == {"file"} else named
    if not isinstance(value, str) or not REFERENCE.search(value):
        return value
    text = REFERENCE.sub(lambda m: variables.get(m["name"]) or m["default"] or "", value)
    return text or None


def locate(path: Path, where: str, written: str) -> Path:
    """A path of the file, seen from where the file is; a Mistake for a home that nobody has."""
    try:
        return path.absolute().parent / Path(written).expanduser()
    except RuntimeError as error:
        said = f"'{path}': {where} is '{written}', and nobody has that home folder"
        raise Mistake(said, f"correct {where}") from error


def _read_secret(path: Path, where: str, written: str) -> str:
    file = locate(path, where, written)
    try:
        if file.stat().st_size > SECRET_BYTES_MAX:
            raise Mistake(f"'{path}': {where} names the too large file '{file}'", "name another")
        secret = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Mistake(
            f"'{path}': {where} names the file '{file}', which cannot be read",
            "write the secret into it and make it readable to this user alone",
        ) from error
    if not secret:
        raise Mistake(
            f"'{path}': {where} names the empty file '{file}'", "write the secret into it"
        )
    return secret


def first_error(path: Path, where: str, error: ValidationError) -> tuple[str, str]:
    """Sentence and remedy of the first thing that is wrong; values are not repeated."""
    first = error.errors(include_url=False, include_input=False)[0]
    key = ".".join([where, *map(str, first["loc"])])
    words = (WORDS | PATH_WORDS).get(first["type"])
    message = words.format_map(first.get("ctx", {})) if words else first["msg"]
    message = message.removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"'{path}': {key} is missing", f"write it below {where}"
    return f"'{path}': {key}: {message[0].lower()}{message[1:]}", f"correct {key}"
