"""What a run is started with: what was given, then the round's parameters, then the defaults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from roundsman.errors import Mistake

Model = TypeVar("Model", bound=BaseModel)

# Pydantic's kinds of error in words; the braces take its context, in which no value stands.
WORDS = {
    "missing": "is missing",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "list_type": "must be a list, as in [a, b]",
    "tuple_type": "must be a list, as in [a, b]",
    "dict_type": "must be a mapping of names to values",
    "model_type": "must be a mapping of names to values",
    "date_type": "must be a date, as 2026-01-31",
    "date_from_datetime_parsing": "must be a date, as 2026-01-31",
    "datetime_type": "must be a time, as 2026-01-31T12:00:00Z",
    "datetime_from_date_parsing": "must be a time, as 2026-01-31T12:00:00Z",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "enum": "must be one of {expected}",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
}


def merge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """`upper` over `lower`; mappings on both sides are merged key by key, all else is replaced."""
    merged = dict(lower)
    for key, value in upper.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(cast("Mapping[str, Any]", below), cast("Mapping[str, Any]", value))
        else:
            merged[key] = value
    return merged


def given(params: object) -> dict[str, Any]:
    """What a caller really said: of a model only the fields that were set."""
    if params is None:
        return {}
    if isinstance(params, BaseModel):
        return params.model_dump(exclude_unset=True)
    if isinstance(params, Mapping):
        return dict(cast("Mapping[str, Any]", params))
    raise Mistake(
        f"params is a {type(params).__name__}, not an object", "give name and value pairs"
    )


def read_params(model: type[Model], params: object, round_params: Mapping[str, Any]) -> Model:
    """The parameters of a run; a Mistake names each wrong field, and the known ones."""
    try:
        return model.model_validate(merge(round_params, given(params)))
    except ValidationError as error:
        raise Mistake(*_explain(model, error)) from error


def _explain(model: type[BaseModel], error: ValidationError) -> tuple[str, str]:
    problems: list[str] = []
    remedies: list[str] = []
    for found in error.errors(include_url=False, include_input=False):
        path = ".".join(str(part) for part in found["loc"]) or "params"
        if found["type"] == "extra_forbidden":
            problems.append(f"unknown parameter '{path}'")
            remedies.append(f"known are: {', '.join(_known(model, found['loc'][:-1]))}")
        else:
            problems.append(f"parameter '{path}'{_words(cast('Mapping[str, Any]', found))}")
            remedies.append(_meaning(model, path, found["loc"]))
    remedy = "; ".join(filter(None, dict.fromkeys(remedies)))
    return "; ".join(problems), remedy or "see docs/reference/agents.md"


def _words(found: Mapping[str, Any]) -> str:
    words = WORDS.get(found["type"])
    if words is None:
        return f": {found['msg'].removeprefix('Value error, ')}"
    return f" {words.format_map(found.get('ctx', {}))}"


def _meaning(model: type[BaseModel], path: str, place: tuple[int | str, ...]) -> str:
    """What the parameter is for and its default, as the model says it; "" where it does not."""
    field = _leading_to(model, place[:-1]).model_fields.get(str(place[-1])) if place else None
    if field is None or not field.description:
        return ""
    default = field.default
    is_told = isinstance(default, str | int | float) and default != ""
    told = f" (default {json.dumps(default)})" if is_told else ""
    return f"{path} is: {field.description}{told}"


def _known(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The fields of the model that `path` leads to, or of the outermost where it cannot be told."""
    return sorted(_leading_to(model, path).model_fields)


def _leading_to(model: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel]:
    here = model
    for part in path:
        field = here.model_fields.get(str(part))
        kind = field.annotation if field else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            break
        here = kind
    return here
