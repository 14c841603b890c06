"""When does a condition of the policy hold: one field of a request's context against one value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, cast

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, model_validator

Operator = Literal["above", "at_least", "below", "at_most", "is", "is_not", "one_of"]
OPERATORS: tuple[Operator, ...] = (
    "above",
    "at_least",
    "below",
    "at_most",
    "is",
    "is_not",
    "one_of",
)
Scalar = str | int | float | bool
Outcome = Literal["holds", "fails", "absent", "incomparable"]
QUOTED_CHARACTERS_MAX = 120
CHOICES_MAX = 200
NUMBER_MAX = 1e15
ENDLESS = (float("inf"), float("-inf"))

# Names under which agents give the same number; a condition on one looks at all of them.
ALIASES: tuple[tuple[str, ...], ...] = (("items", "email_count"),)


def _number(value: object) -> int | float:
    if _kind(value) != "number" or abs(cast("float", value)) > NUMBER_MAX:
        raise ValueError(f"must be a number, of at most {NUMBER_MAX:g}")
    return cast("int | float", value)


def _scalar(value: object) -> Scalar:
    if _kind(value) in ("text", "flag"):
        return cast("Scalar", value)
    if _kind(value) != "number":
        raise ValueError("must be text, a number, true or false")
    return _number(value)


# Plain validators, for a union of types would name its parts in every message.
Number = Annotated[int | float | None, PlainValidator(_number)]
Value = Annotated[str | int | float | bool | None, PlainValidator(_scalar)]
Choice = Annotated[str | int | float | bool, PlainValidator(_scalar)]


class Condition(BaseModel):
    """One field of the context and one comparison; `is` is written so in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    field: str = Field(min_length=1)
    above: Number = None
    at_least: Number = None
    below: Number = None
    at_most: Number = None
    is_: Value = Field(default=None, alias="is")
    is_not: Value = None
    one_of: tuple[Choice, ...] | None = Field(default=None, min_length=1, max_length=CHOICES_MAX)

    @model_validator(mode="after")
    def _has_one_comparison(self) -> Condition:
        given = [name for name in OPERATORS if self._operand_of(name) is not None]
        if len(given) != 1:
            told = " and ".join(given) if given else "no comparison"
            raise ValueError(f"has {told}, give exactly one of {', '.join(OPERATORS)}")
        return self

    @property
    def operator(self) -> Operator:
        """How field and operand are compared."""
        return next(name for name in OPERATORS if self._operand_of(name) is not None)

    @property
    def operand(self) -> Any:
        """What the field is compared with."""
        return self._operand_of(self.operator)

    @property
    def threshold(self) -> int | float | str:
        """The operand as a reason shows it."""
        return shown(self.operand)

    def __str__(self) -> str:
        return f"{self.field} {self.operator.replace('_', ' ')} {words(self.operand)}"

    def _operand_of(self, operator: Operator) -> Any:
        return getattr(self, "is_" if operator == "is" else operator)


class Look(NamedTuple):
    """What was seen of one condition: the field's value and a sentence about it."""

    outcome: Outcome
    condition: Condition
    value: int | float | str | None
    quote: str


def look(condition: Condition, context: Mapping[str, Any], is_lenient: bool) -> Look:
    """Compare one field, under whichever of its names it was given.

    Given under several names, a lenient look (for a rule that allows) takes the one that fits
    worst, any other look the one that fits best.
    """
    names = next((group for group in ALIASES if condition.field in group), (condition.field,))
    given = [(name, context[name]) for name in names if context.get(name) is not None]
    if not given:
        return Look("absent", condition, None, f"{condition.field} is absent")
    seen = [_compare(condition, name, value) for name, value in given]
    order: list[Outcome] = ["holds", "incomparable", "fails"]
    ranked = sorted(seen, key=lambda one: order.index(one.outcome), reverse=is_lenient)
    return ranked[0]


def _compare(condition: Condition, name: str, value: Any) -> Look:
    asked = f"{condition.operator.replace('_', ' ')} {words(condition.operand)}"
    told = f"{name} is {words(value)}"
    outcome = _outcome(condition.operator, value, condition.operand)
    if outcome == "incomparable":
        return Look(
            outcome, condition, shown(value), f"{told}, which cannot be compared with '{asked}'"
        )
    if condition.operator == "is":
        quote = told if outcome == "holds" else f"{told}, not {words(condition.operand)}"
        return Look(outcome, condition, shown(value), quote)
    negated = "" if outcome == "holds" else "not "
    return Look(outcome, condition, shown(value), f"{told}, {negated}{asked}")


def _outcome(operator: Operator, value: Any, operand: Any) -> Outcome:
    if operator == "one_of":
        fitting = [choice for choice in operand if _kind(choice) == _kind(value)]
        if not fitting:
            return "incomparable"
        return "holds" if value in fitting else "fails"
    if _kind(value) != _kind(operand):
        return "incomparable"
    return "holds" if _is_met(operator, value, operand) else "fails"


def _is_met(operator: Operator, value: Any, operand: Any) -> bool:
    match operator:
        case "above":
            return value > operand
        case "at_least":
            return value >= operand
        case "below":
            return value < operand
        case "at_most":
            return value <= operand
        case "is":
            return value == operand
        case _:
            return value != operand


def _kind(value: Any) -> str:
    """Values of one kind can be compared; what is no number at all is of no kind."""
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, int | float):
        # What is not equal to itself is not a number, whatever its type says.
        return "number" if value == value else "nothing"  # noqa: PLR0124
    return "text" if isinstance(value, str) else f"a {type(value).__name__}"


def shown(value: Any) -> int | float | str:
    """The value as a reason holds it: numbers stay numbers, all else becomes short text."""
    if _kind(value) == "number" and value not in ENDLESS:
        return cast("int | float", value)
    return words(value)


def words(value: Any) -> str:
    """The value in a sentence: text in quotes, flags as in YAML, and nothing at any length."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        text = ", ".join(map(words, cast("tuple[Any, ...]", value)))
    else:
        text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= QUOTED_CHARACTERS_MAX else f"{text[:QUOTED_CHARACTERS_MAX]}..."
