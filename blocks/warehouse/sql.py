"""Is a text exactly one SELECT, and how does the same text read in the twin's dialect?"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from roundsman.errors import Denied, Mistake

if TYPE_CHECKING:
    from sqlglot import exp

TEXT_BYTES_MAX = 1_000_000
QUOTED_LETTERS = 120

# Reads that reach beyond the warehouse that was asked: other databases, and models that are paid
# for by other measures than the bytes that a dry run names.
_FAR_READS = frozenset({"EXTERNAL_QUERY", "VECTOR_SEARCH"})
_FAR_PLACES = frozenset({"AI", "ML"})
# The table functions that a text may name on the twin; DuckDB's others look into files, settings
# and other texts, and some of them write, also for who may only read.
_TWIN_TABLE_FUNCTIONS = frozenset({"GENERATE_SERIES", "RANGE"})
# DuckDB's functions of one value that do more than tell a value of the warehouse.
_TWIN_ACTS = frozenset(
    {
        *("CURRENT_SETTING", "CURRVAL", "GETENV", "GETVARIABLE", "NEXTVAL", "SETSEED", "SETVAL"),
        *("CURRENT_QUERY", "PARSE_DUCKDB_LOG_MESSAGE", "SLEEP_MS", "WRITE_LOG"),
        *("JSON_EXECUTE_SERIALIZED_SQL", "QUERY", "QUERY_TABLE"),
    }
)


def require_select(text: str) -> None:
    """Denied unless the GoogleSQL text is exactly one SELECT; a Mistake where it does not parse."""
    _parse_select(text)


def select_for_duckdb(text: str) -> str:
    """The same SELECT in DuckDB's dialect, with the silent differences taken out.

    Denied where it calls a function of DuckDB's own that acts, or reads beside the tables.
    """
    query = _parse_select(text)
    _require_plain_functions(query, text)
    return _to_duckdb(query)


@lru_cache(maxsize=64)
def statement_for_duckdb(text: str) -> str:
    """Any statement of ours in DuckDB's dialect; never for texts that came from outside."""
    import sqlglot

    return _to_duckdb(sqlglot.parse_one(text, read="bigquery"))


def _parse_select(text: str) -> exp.Query:
    from sqlglot import exp, parse
    from sqlglot.errors import SqlglotError

    # It warns of what it does not know; we refuse that anyway.
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    if len(text.encode()) > TEXT_BYTES_MAX:
        raise Mistake(
            f"the query {_quoted(text)} is longer than {TEXT_BYTES_MAX} bytes", "shorten it"
        )
    try:
        found = parse(text, read="bigquery")
    except (SqlglotError, RecursionError) as error:
        first = str(error).splitlines()[0] if str(error) else "too deeply nested"
        raise Mistake(
            f"the query {_quoted(text)} is not GoogleSQL: {first}", "correct it"
        ) from error
    statements = [one for one in found if one is not None and not isinstance(one, exp.Semicolon)]
    if not statements:
        raise Mistake("the query is empty", "write one SELECT")
    only = statements[0]
    if len(statements) > 1 or not isinstance(only, exp.Query) or not _only_reads(only):
        raise Denied(
            f"the query {_quoted(text)} is not exactly one SELECT", "the warehouse is only read"
        )
    return only


def _only_reads(query: exp.Query) -> bool:
    from sqlglot import exp

    writing = (
        *(exp.Into, exp.Lock, exp.Command, exp.Export, exp.Copy, exp.LoadData),
        *(exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.TruncateTable),
        *(exp.Create, exp.Drop, exp.Alter, exp.Grant, exp.Set),
    )
    for node in query.walk():
        if isinstance(node, writing):
            return False
        if _reads_far(node):
            return False
    return True


def _reads_far(node: exp.Expr) -> bool:
    """Whether it calls a function that reaches beyond the warehouse."""
    from sqlglot import exp

    if isinstance(node, exp.Func):
        return _function_name(node)[-1] in _FAR_READS
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Func):
        # What ML computes row by row is plain arithmetic; what AI does so asks a model.
        return node.this.name.upper() == "AI"
    called = _called_as_table(node)
    return called is not None and len(called) == 2 and called[0] in _FAR_PLACES


def _require_plain_functions(query: exp.Query, text: str) -> None:
    from sqlglot import exp

    for node in query.walk():
        called = _called_as_table(node)
        if called is not None and called[-1] not in _TWIN_TABLE_FUNCTIONS:
            name = called[-1]
        elif isinstance(node, exp.Func) and _function_name(node)[-1] in _TWIN_ACTS:
            name = _function_name(node)[-1]
        else:
            continue
        raise Denied(
            f"the query {_quoted(text)} calls '{name.lower()}'",
            "a query reads tables of the warehouse only",
        )


def _called_as_table(node: exp.Expr) -> list[str] | None:
    """The parts of the name of a function that stands where a table would; None for all else."""
    from sqlglot import exp

    if not isinstance(node, exp.Table | exp.Lateral):
        return None
    function = node.this
    if not isinstance(function, exp.Func) or isinstance(function, exp.Unnest):
        return None
    places = [str(node.text(part)).upper() for part in ("catalog", "db")]
    return [place for place in places if place] + _function_name(function)


def _function_name(function: exp.Func) -> list[str]:
    """The parts of its name in capitals: those of one in backticks are divided by points."""
    from sqlglot import exp

    is_unknown = isinstance(function, exp.Anonymous)
    name = function.name if is_unknown else function.sql_name()
    return str(name).upper().split(".")


def _quoted(text: str) -> str:
    short = " ".join(text.split())
    return f"'{short[:QUOTED_LETTERS]}{'...' if len(short) > QUOTED_LETTERS else ''}'"


def _to_duckdb(statement: exp.Expr) -> str:
    from sqlglot import ErrorLevel

    for node in reversed(list(statement.walk())):
        rewrite = _REWRITES.get(type(node).__name__)
        if rewrite is not None:
            rewrite(node)
    return statement.sql(
        "duckdb", identify=True, comments=False, unsupported_level=ErrorLevel.IGNORE
    )


# What DuckDB would silently answer in another way than BigQuery. A division by zero is not here:
# the twin's connections have `ieee_floating_point_ops` off, which makes it an error as there.


def _drop_project(node: exp.Expr) -> None:
    node.set("catalog", None)  # a twin is one project


def _extract(node: exp.Expr) -> None:
    from sqlglot import exp

    part = node.this.name.upper()
    if part == "DAYOFWEEK":  # 0 to 6 there, 1 to 7 here
        _wrap(node, lambda it: exp.paren(exp.Add(this=it, expression=exp.Literal.number(1))))
    elif part in ("MILLISECOND", "MICROSECOND"):  # the seconds are counted in there
        over = exp.Literal.number(1_000 if part == "MILLISECOND" else 1_000_000)
        _wrap(node, lambda it: exp.paren(exp.Mod(this=it, expression=over)))
    elif part == "ISOWEEK":
        node.set("this", exp.var("WEEK"))
    elif part == "WEEK":  # the ISO week there, weeks that begin on Sunday here
        week = exp.func("STRFTIME", node.expression.copy(), exp.Literal.string("%U"))
        node.replace(exp.cast(week, "BIGINT"))
    elif part == "DATE":
        node.replace(exp.cast(node.expression.copy(), "DATE"))


def _whole_intervals(node: exp.Expr) -> None:
    """TIMESTAMP_DIFF counts whole intervals that have passed; DATE_DIFF would count edges."""
    from sqlglot import exp

    unit = exp.Literal.string(node.args["unit"].name)
    parts = [unit, node.expression.copy(), node.this.copy()]
    node.replace(exp.Anonymous(this="DATESUB", expressions=parts))


def _stay_date(node: exp.Expr) -> None:
    from sqlglot import exp

    _wrap(node, lambda it: exp.cast(it, "DATE"))


def _be_instant(node: exp.Expr) -> None:
    from sqlglot import exp

    _wrap(node, lambda it: exp.cast(it, "TIMESTAMPTZ"))


def _zero_when_empty(node: exp.Expr) -> None:
    from sqlglot import exp

    whole = node
    while isinstance(whole.parent, exp.Window | exp.Filter):
        whole = whole.parent
    _wrap(whole, lambda it: exp.func("COALESCE", it, exp.Literal.number(0)))


def _round_half_away(node: exp.Expr) -> None:
    """A float becomes the nearest integer, halves away from zero; DuckDB takes the even one."""
    from sqlglot import exp

    if not node.to.is_type("BIGINT"):  # type: ignore[attr-defined] # a Cast has a `to`
        return
    value = node.this
    kind = exp.func("TYPEOF", value.copy())
    rounded = exp.cast(exp.func("ROUND", exp.TryCast(this=value.copy(), to=_double())), "BIGINT")
    plain = node.copy()
    is_float = exp.In(this=kind, expressions=[exp.Literal.string(t) for t in ("DOUBLE", "FLOAT")])
    node.replace(exp.Case().when(is_float, rounded).else_(plain))


def _double() -> exp.DataType:
    from sqlglot import exp

    return exp.DataType.build("DOUBLE")


def _start_at_one(node: exp.Expr) -> None:
    """SUBSTR from 0 means from the first letter."""
    from sqlglot import exp

    start = node.args.get("start")
    if start is not None:
        node.set("start", exp.func("COALESCE", exp.func("NULLIF", start.copy(), 0), 1))


def _wrap(node: exp.Expr, around: Callable[[exp.Expr], exp.Expr]) -> None:
    node.replace(around(node.copy()))


_REWRITES: dict[str, Callable[[Any], None]] = {
    "Table": _drop_project,
    "Extract": _extract,
    "TimestampDiff": _whole_intervals,
    "DateAdd": _stay_date,
    "DateSub": _stay_date,
    "StrToTime": _be_instant,
    "CountIf": _zero_when_empty,
    "Cast": _round_half_away,
    "Substring": _start_at_one,
}
