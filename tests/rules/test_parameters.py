"""What a run is started with: what was given, then the round's parameters, then the defaults."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import pytest
from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import core_schema

from roundsman.errors import Mistake
from roundsman.rules.parameters import WORDS, given, merge, read_params


class Window(BaseModel, extra="forbid"):
    days: int = Field(default=7, ge=1)
    zone: str = "UTC"


class Params(BaseModel, extra="forbid"):
    index: str = "emails-*"
    window: Window = Window()
    tags: list[str] = ["daily"]


@pytest.mark.parametrize(
    ("lower", "upper", "merged"),
    [
        ({}, {}, {}),
        ({"a": 1}, {}, {"a": 1}),
        ({"a": 1}, {"a": None}, {"a": None}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"b": 1, "c": 3}}),
        ({"a": {"b": 1}}, {"a": [1]}, {"a": [1]}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
    ],
)
def test_mappings_are_merged_and_all_else_is_replaced(
    lower: dict[str, object], upper: dict[str, object], merged: dict[str, object]
) -> None:
    assert merge(lower, upper) == merged


def test_a_start_gives_only_what_it_wants_to_change() -> None:
    params = read_params(Params, {"window": {"days": 3}}, {"window": {"zone": "Asia/Tokyo"}})
    assert params == Params(window=Window(days=3, zone="Asia/Tokyo"))
    assert params.index == "emails-*"


def test_of_a_model_only_the_fields_that_were_set_are_given() -> None:
    assert given(Params(index="x")) == {"index": "x"}
    assert read_params(Params, Params(index="x"), {"tags": ["hourly"]}).tags == ["hourly"]


def test_nothing_given_is_the_round_or_the_defaults() -> None:
    assert read_params(Params, None, {}) == Params()


def test_each_wrong_field_is_named_and_unknown_ones_list_the_known() -> None:
    wrong = {"indx": "a", "window": {"days": 0, "zon": "x"}, "tags": "daily"}
    with pytest.raises(Mistake) as caught:
        read_params(Params, wrong, {})
    said = str(caught.value)
    for part in ("'indx'", "'window.days'", "'window.zon'", "'tags'"):
        assert part in said
    assert "known are: days, zone" in said
    assert "known are: index, tags, window" in said


def test_a_value_is_never_repeated_in_the_sentence() -> None:
    with pytest.raises(Mistake) as caught:
        read_params(Params, {"tags": "s3cret-value"}, {})
    assert "s3cret-value" not in str(caught.value)


@pytest.mark.parametrize("wrong", [[1], "x", 3])
def test_what_is_no_object_is_a_mistake(wrong: object) -> None:
    with pytest.raises(Mistake, match="not an object"):
        read_params(Params, wrong, {})


class Bounds(BaseModel, extra="forbid"):
    days: int = Field(default=7, ge=1, le=90, description="Whole days that are looked at")
    level: Literal["day", "hour"] = "day"
    zone: Annotated[str, AfterValidator(lambda _: _refuse())] = "UTC"


def _refuse() -> str:
    raise ValueError("no such zone")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"days": "x"}, "parameter 'days' must be a whole number"),
        ({"days": 0}, "parameter 'days' must be at least 1"),
        ({"days": 91}, "parameter 'days' must be at most 90"),
        ({"level": "week"}, "parameter 'level' must be one of 'day' or 'hour'"),
        ({"zone": "x"}, "parameter 'zone': no such zone"),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(Mistake) as caught:
        read_params(Bounds, wrong, {})
    assert caught.value.said == said


def test_the_remedy_says_what_the_parameter_is_for() -> None:
    with pytest.raises(Mistake) as caught:
        read_params(Bounds, {"days": "x"}, {})
    assert caught.value.remedy == "days is: Whole days that are looked at (default 7)"


def test_every_kind_that_has_words_is_one_of_pydantics() -> None:
    assert set(WORDS) <= set(get_args(core_schema.ErrorType))
