"""Which policy holds on this machine: its file, read and checked, or the default that we ship."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

import yaml
from pydantic import BaseModel, ValidationError

from roundsman.errors import Mistake
from roundsman.rules.approval import Defaults, Policy, Rule, Verdict, Weekday
from roundsman.rules.conditions import Condition
from roundsman.rules.parameters import WORDS
from roundsman.rules.plain_text import clean_line
from roundsman.settings import get_settings

DEFAULT = Path(__file__).with_name("policy.yaml")
FILE_BYTES_MAX = 1_000_000
HASH_LETTERS = 16
CACHED_MAX = 8

Place = Sequence[int | str]


class Origin(NamedTuple):
    """The file that holds, and whether it is the default for want of one's own."""

    path: Path
    is_default: bool


def origin() -> Origin:
    """Where this machine's policy is read from."""
    own = get_settings().policy
    return Origin(own, False) if own.exists() else Origin(DEFAULT, True)


def load_policy(path: Path | None = None) -> Policy:
    """The policy of a file; without one this machine's, or the default where it has none.

    Raises Mistake with file, line and remedy for a file that is missing, unreadable or wrong.
    """
    file = path or origin().path
    return _parse(_read(file), str(file))


def policy_hash(policy: Policy) -> str:
    """A fingerprint of what a policy says, however its file is laid out."""
    rules = sorted(policy.rules, key=lambda rule: rule.id)
    told = policy.model_copy(update={"rules": tuple(rules)}).model_dump_json()
    return hashlib.sha256(told.encode()).hexdigest()[:HASH_LETTERS]


class _Loader(yaml.SafeLoader):
    """The safe loader; it also refuses a key written twice, of which the later would win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys are all different."""
        keys = [key.value for key, _ in node.value]
        twice = next((i for i, key in enumerate(keys) if key in keys[:i]), None)
        if twice is not None:
            said = f"the key '{keys[twice]}' is written twice"
            mark = node.value[twice][0].start_mark
            raise yaml.constructor.ConstructorError(None, None, said, mark)
        return super().construct_mapping(node, deep=deep)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(FILE_BYTES_MAX + 1)
        text = content.decode("utf-8")
    except FileNotFoundError:
        raise Mistake(
            f"policy '{file}' does not exist", "write it: roundsman policy init"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise Mistake(
            f"policy '{file}' cannot be read: {error}", "make it a readable text file"
        ) from error
    if len(content) > FILE_BYTES_MAX:
        raise Mistake(f"policy '{file}' is larger than {FILE_BYTES_MAX} bytes", "shorten it")
    return text


# Every permit asks for the policy anew, and the file may have been changed since.
@lru_cache(maxsize=CACHED_MAX)
def _parse(text: str, place: str) -> Policy:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        content: Any = loader.construct_document(node) if node is not None else None
    except yaml.YAMLError as error:
        raise _unreadable(place, error) from error
    except (AttributeError, ValueError) as error:
        # How the library fails at a date or number that only looks like one, as 2026-13-45.
        raise Mistake(
            f"policy '{place}' holds a value that cannot be read: {clean_line(str(error), 200)}",
            "put text in quotes",
        ) from error
    except RecursionError:
        raise Mistake(
            f"policy '{place}' is nested too deep", "write rules as the default"
        ) from None
    if not isinstance(content, dict):
        raise Mistake(
            f"policy '{place}' is no mapping",
            "write 'version: 1' and 'rules:', as the default does",
        )
    try:
        return Policy.model_validate(content)
    except ValidationError as error:
        raise _explain(place, (node, cast("dict[str, Any]", content)), error) from error


def _unreadable(place: str, error: yaml.YAMLError) -> Mistake:
    mark = getattr(error, "problem_mark", None)
    line = f" line {mark.line + 1}" if mark else ""
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return Mistake(f"policy '{place}'{line}: {problem}", "correct the YAML")


def _explain(
    place: str, read: tuple[yaml.Node | None, dict[str, Any]], error: ValidationError
) -> Mistake:
    """The first thing that is wrong, in words, and how many more there are.

    An unknown key comes first: most often the key that is missing is meant by it.
    """
    node, content = read
    found = error.errors(include_url=False)
    found.sort(key=lambda one: one["type"] != "extra_forbidden")
    path = found[0]["loc"]
    # Only the ids of rules are compared with each other, and the sentence about them has no place.
    line = f" line {_line_of(node, path or _second_use(content))}" if node is not None else ""
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    said, remedy = _sentence(cast("Mapping[str, Any]", found[0]), path)
    return Mistake(f"policy '{place}'{line}: {said}{more}", remedy)


def _second_use(content: dict[str, Any]) -> Place:
    ids = [rule["id"] for rule in content["rules"]]
    return next(("rules", i, "id") for i, name in enumerate(ids) if name in ids[:i])


def _sentence(found: Mapping[str, Any], path: Place) -> tuple[str, str]:
    where = _dotted(path)
    if found["type"] == "extra_forbidden":
        known = _known(path[:-1])
        return f"unknown key '{where}'", _suggest(str(path[-1]), known)
    if found["type"] == "invalid_key":
        return f"the key '{path[-1]}' is no text", f"known are {', '.join(_known(path[:-1]))}"
    if found["type"] == "missing":
        is_counted = isinstance(path[-1], int)
        example = "two hours, as in [9, 17]" if is_counted else f"'{path[-1]}: {_example(path)}'"
        return f"'{where}' is missing", f"write {example}"
    words = WORDS.get(found["type"])
    said = words.format_map(found.get("ctx", {})) if words else str(found["msg"])
    said = said.removeprefix("Value error, ")
    # A rule about the whole file names itself what is wrong.
    told = f"'{where}' {said}" if path else said
    choices = _choices(found["type"], path)
    given = found.get("input")
    if choices and isinstance(given, str):
        return told, _suggest(given, choices)
    return told, "correct it as the default's comments say; roundsman policy init writes them"


def _suggest(given: str, known: Sequence[str]) -> str:
    close = get_close_matches(given.lower(), known, 1)
    close = close or [name for name in known if given.lower().startswith(name)]
    meant = f"did you mean '{close[0]}'? " if close else ""
    return f"{meant}known are {', '.join(known)}"


def _choices(kind: str, path: Place) -> tuple[str, ...]:
    if kind != "literal_error":
        return ()
    return {"verdict": get_args(Verdict), "weekdays": get_args(Weekday)}.get(
        str(path[2] if len(path) > 2 else ""), ()
    )


def _example(path: Place) -> str:
    return {"version": "1", "id": "a-name", "verdict": "ask", "field": "items"}.get(
        str(path[-1]), "..."
    )


def _model_at(path: Place) -> type[BaseModel]:
    names = tuple(part for part in path if isinstance(part, str))
    kinds: dict[tuple[str, ...], type[BaseModel]] = {
        (): Policy,
        ("defaults",): Defaults,
        ("rules",): Rule,
        ("rules", "when"): Condition,
    }
    return kinds.get(names, Policy)


def _known(path: Place) -> list[str]:
    return [field.alias or name for name, field in _model_at(path).model_fields.items()]


def _dotted(path: Place) -> str:
    """`rules[2].when[0].above`; what is counted is counted from 1, as people do."""
    parts = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path)
    return parts.removeprefix(".")


def _line_of(node: yaml.Node, path: Place) -> int:
    """The line in which the last part of a path that the file holds begins."""
    line = node.start_mark.line
    here = node
    for part in path:
        inner = _step_into(here, part)
        if inner is None:
            break
        line, here = inner
    return line + 1


def _step_into(node: yaml.Node, part: int | str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return key.start_mark.line, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        inner = node.value[part]
        return inner.start_mark.line, inner
    return None
