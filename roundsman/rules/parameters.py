"""What a run is started with: what was given, then the round's parameters, then the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from roundsman.errors import Mistake

Model = TypeVar("Model", bound=BaseModel)


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
            problems.append(f"parameter '{path}': {found['msg']}")
    remedy = "; ".join(dict.fromkeys(remedies)) or "correct what is named"
    return "; ".join(problems), remedy


def _known(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The fields of the model that `path` leads to, or of the outermost where it cannot be told."""
    here = model
    for part in path:
        field = here.model_fields.get(str(part))
        kind = field.annotation if field else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            break
        here = kind
    return sorted(here.model_fields)
