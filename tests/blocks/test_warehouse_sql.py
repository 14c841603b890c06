"""Whether a text is one SELECT, and whether the twin answers it as BigQuery would."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.warehouse import BigQueryWarehouse, DuckdbWarehouse
from blocks.warehouse.sql import require_select, select_for_duckdb
from roundsman.errors import Denied, Mistake, Refused, RoundsmanError
from tests.permits import granted

WRITES = [
    "INSERT INTO shop.orders (id) VALUES ('x')",
    "INSERT INTO shop.orders SELECT * FROM shop.orders",
    "UPDATE shop.orders SET id = 'x' WHERE TRUE",
    "DELETE FROM shop.orders WHERE TRUE",
    "MERGE shop.orders USING shop.news ON FALSE WHEN NOT MATCHED THEN INSERT ROW",
    "TRUNCATE TABLE shop.orders",
    "CREATE TABLE shop.copy AS SELECT * FROM shop.orders",
    "CREATE OR REPLACE VIEW shop.v AS SELECT 1",
    "CREATE TEMP FUNCTION f() AS (1); SELECT f()",
    "ALTER TABLE shop.orders ADD COLUMN x INT64",
    "DROP TABLE shop.orders",
    "DROP SCHEMA shop CASCADE",
    "EXPORT DATA OPTIONS (uri = 'gs://b/*', format = 'CSV') AS SELECT 1",
    "LOAD DATA INTO shop.orders FROM FILES (format = 'CSV', uris = ['gs://b/x'])",
    "CALL shop.rebuild()",
    "EXECUTE IMMEDIATE 'DROP TABLE shop.orders'",
    "GRANT `roles/bigquery.dataOwner` ON SCHEMA shop TO 'user:x@example.com'",
    "BEGIN TRANSACTION",
    "BEGIN DELETE FROM shop.orders WHERE TRUE; END",
    "DECLARE x INT64; SELECT x",
    "SET x = 1",
    "IF TRUE THEN SELECT 1; END IF",
    "ASSERT EXISTS (SELECT 1)",
    "EXPLAIN SELECT 1",
    "COPY shop.orders TO 'orders.csv'",
    "PRAGMA database_list",
    "DESCRIBE shop.orders",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE shop.orders",
    "SELECT * INTO shop.copy FROM shop.orders",
    "WITH gone AS (DELETE FROM shop.orders) SELECT * FROM gone",
    "SELECT * FROM (INSERT INTO shop.orders (id) VALUES ('x'))",
    "SELECT * FROM shop.orders FOR UPDATE",
    "SELECT * FROM EXTERNAL_QUERY('eu.cloudsql', 'SELECT 1')",
    "SELECT * FROM `EXTERNAL_QUERY`('eu.cloudsql', 'SELECT 1')",
    "SELECT * FROM ML.PREDICT(MODEL shop.m, (SELECT 1 AS n))",
    "SELECT * FROM ml.explain_forecast(MODEL shop.m)",
    "SELECT * FROM `ML.PREDICT`(1)",
    "SELECT * FROM AI.FORECAST(TABLE shop.orders, data_col => 'n')",
    "SELECT * FROM AI.GENERATE_TABLE(MODEL shop.m, TABLE shop.orders)",
    "SELECT AI.GENERATE('write a poem')",
    "SELECT * FROM VECTOR_SEARCH(TABLE shop.orders, 'v', (SELECT 1 AS n))",
    "SELECT (SELECT COUNT(*) FROM shop.orders, ML.PREDICT(MODEL shop.m, TABLE shop.orders))",
    "ATTACH 'other.duckdb'",
    "INSTALL httpfs",
    "",
    "-- nothing",
]

READS = [
    "SELECT 1",
    "SELECT 1;",
    "SELECT 1; -- and no more",
    "(SELECT 1)",
    "SELECT 'DELETE FROM x; DROP TABLE y' AS harmless",
    "WITH a AS (SELECT 1 AS n) SELECT n FROM a UNION ALL SELECT 2",
    "SELECT `delete` FROM shop.orders",
    "FROM shop.orders |> AGGREGATE COUNT(*) AS n",
]

# What DuckDB would do beside reading tables, each of them inside one SELECT.
TWIN_ACTS = [
    "SELECT * FROM enable_logging()",
    "SELECT * FROM enable_logging('QueryLog', storage => 'file', storage_path => '{folder}/log')",
    "SELECT * FROM `enable_logging`(storage = 'file')",
    "SELECT 1 FROM ENABLE_LOGGING(level = 'trace', storage = 'stdout') UNION ALL SELECT 2",
    "SELECT * FROM shop.orders JOIN LATERAL enable_logging()",
    "SELECT * FROM shop.orders CROSS JOIN checkpoint()",
    "SELECT (SELECT 1 FROM checkpoint())",
    "SELECT * FROM force_checkpoint()",
    "SELECT * FROM enable_profiling(format = 'json', save_location = '{folder}/profile.json')",
    "SELECT * FROM disable_logging()",
    "SELECT * FROM truncate_duckdb_logs()",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM system.main.query('SELECT 1')",
    "SELECT * FROM query_table('orders')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM pragma_storage_info('shop.orders')",
    "SELECT * FROM read_csv('{folder}/x.csv')",
    "WITH a AS (SELECT * FROM range(2)) SELECT * FROM a, duckdb_logs()",
    "SELECT write_log('hello')",
    "SELECT `write_log`('hello')",
    "SELECT SAFE.write_log('hello')",
    "SELECT main.setseed(0.5)",
    "SELECT * FROM UNNEST([1]) AS x WHERE setseed(0.5) IS NULL",
    "SELECT nextval('s')",
    "SELECT getenv('HOME')",
    "SELECT current_setting('allowed_paths')",
]

SERIES = [
    "SELECT COUNT(*) AS n FROM UNNEST(GENERATE_ARRAY(1, 3)) AS x",
    "SELECT COUNT(*) AS n FROM UNNEST(GENERATE_DATE_ARRAY('2026-01-01', '2026-01-03')) AS x",
    "SELECT COUNT(*) AS n FROM UNNEST(GENERATE_TIMESTAMP_ARRAY("
    "'2026-01-01 00:00:00+00', '2026-01-03 00:00:00+00', INTERVAL 1 DAY)) AS x",
    "SELECT COUNT(*) AS n FROM range(3)",
    "SELECT COUNT(*) AS n FROM generate_series(1, 3)",
    "SELECT 3 * COUNT(*) AS n FROM shop.orders, UNNEST([id]) AS x",
]

# GoogleSQL's own answers; a twin that only translated words would answer otherwise.
ANSWERS: dict[str, Any] = {
    "EXTRACT(DAYOFWEEK FROM DATE '2026-11-01')": 1,
    "EXTRACT(WEEK FROM DATE '2026-01-03')": 0,
    "EXTRACT(ISOWEEK FROM DATE '2026-01-03')": 1,
    "EXTRACT(MILLISECOND FROM TIMESTAMP '2026-01-01 00:00:05.123456+00')": 123,
    "EXTRACT(MICROSECOND FROM TIMESTAMP '2026-01-01 00:00:05.123456+00')": 123456,
    "EXTRACT(HOUR FROM TIMESTAMP '2026-07-01 00:00:00+00' AT TIME ZONE 'Europe/Berlin')": 2,
    "TIMESTAMP_DIFF(TIMESTAMP '2026-01-01 01:00:00Z', TIMESTAMP '2026-01-01 00:00:01Z', HOUR)": 0,
    "DATE_DIFF(DATE '2026-11-01', DATE '2026-10-31', WEEK)": 1,
    "DIV(-7, 2)": -3,
    "MOD(-7, 2)": -1,
    "7 / 2": 3.5,
    "SAFE_DIVIDE(1, 0)": None,
    "CAST(2.5e0 AS INT64)": 3,
    "CAST(-2.5e0 AS INT64)": -3,
    "CAST('7' AS INT64)": 7,
    "SAFE_CAST('seven' AS INT64)": None,
    "CONCAT('a', NULL)": None,
    "GREATEST(1, NULL)": None,
    "SUBSTR('abc', 0, 2)": "ab",
    "SUBSTR('abc', -2)": "bc",
    "(SELECT COUNTIF(x > 5) FROM UNNEST([1]) AS x WHERE x > 5)": 0,
    "(SELECT STRING_AGG(x, '-' ORDER BY x DESC) FROM UNNEST(['a', 'b']) AS x)": "b-a",
    "IF(NULL = 1, 'a', 'b')": "b",
    "'a' < 'B'": False,
}

# Here the emulator gives DuckDB's answer; the values above are those of Google's reference.
UNTOLD_BY_EMULATOR = {
    expression
    for expression in ANSWERS
    if expression.startswith(
        ("EXTRACT(MI", "TIMESTAMP_DIFF", "CAST(2.5", "CAST(-2.5", "SUBSTR('abc', 0")
    )
}


@pytest.mark.parametrize("text", WRITES)
def test_what_is_not_exactly_one_select_is_denied_or_a_mistake(text: str) -> None:
    for check in (require_select, select_for_duckdb):
        with pytest.raises((Denied, Mistake)):
            check(text)


@pytest.mark.parametrize("text", READS)
def test_one_select_in_any_form_is_read(text: str) -> None:
    require_select(text)


@pytest.mark.parametrize("text", TWIN_ACTS)
def test_the_twin_is_denied_what_duckdb_does_beside_reading_tables(
    duckdb_warehouse: DuckdbWarehouse, tmp_path: Path, text: str
) -> None:
    with pytest.raises(Denied, match=r"calls '\w+'"):
        duckdb_warehouse.select(text.replace("{folder}", str(tmp_path)), {}, 1000)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", SERIES)
def test_series_and_arrays_stand_where_tables_do(
    duckdb_warehouse: DuckdbWarehouse, text: str
) -> None:
    require_select(text)
    assert duckdb_warehouse.select(text, {}, 1) == [{"n": 3}]


def test_a_table_function_of_ones_own_is_read_in_bigquery() -> None:
    for text in ("SELECT * FROM shop.f(1)", "SELECT * FROM `acme.ml.f`(1)"):
        require_select(text)


@given(
    st.sampled_from(WRITES[:-2]),
    st.sampled_from(["", " ", "\n", "/* SELECT */ ", "-- SELECT 1\n"]),
    st.sampled_from(["", ";", ";;", " -- x", "; SELECT 1"]),
    st.booleans(),
)
def test_comments_case_and_company_do_not_make_a_write_a_read(
    text: str, before: str, after: str, lower: bool
) -> None:
    with pytest.raises((Denied, Mistake)):
        require_select(before + (text.lower() if lower else text) + after)


def test_a_text_that_does_not_parse_is_a_mistake_that_quotes_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(Mistake, match="SELECT FROM WHERE"):
        require_select("SELECT FROM WHERE (")
    assert not caplog.records


@pytest.fixture(scope="module")
def duckdb_warehouse(tmp_path_factory: pytest.TempPathFactory) -> DuckdbWarehouse:
    warehouse = DuckdbWarehouse(path=tmp_path_factory.mktemp("twin") / "warehouse.duckdb")
    granted(warehouse.replace, "shop.orders", {"id": "keyword"}, [{"id": "a"}])
    return warehouse


@pytest.mark.parametrize(("expression", "value"), ANSWERS.items())
def test_the_twin_answers_as_bigquery_does(
    duckdb_warehouse: DuckdbWarehouse, expression: str, value: Any
) -> None:
    assert duckdb_warehouse.select(f"SELECT {expression} AS it", {}, 1) == [{"it": value}]


@pytest.mark.needs("bigquery")
def test_the_emulator_gives_the_same_answers(bigquery_warehouse: BigQueryWarehouse) -> None:
    told = {
        expression: bigquery_warehouse.select(f"SELECT {expression} AS it", {}, 1)[0]["it"]
        for expression in ANSWERS.keys() - UNTOLD_BY_EMULATOR
    }
    assert told == {expression: ANSWERS[expression] for expression in told}


@pytest.mark.parametrize("expression", ["1 / 0", "1.5 / 0", "MOD(1, 0)", "CAST('x' AS INT64)"])
def test_what_bigquery_calls_an_error_is_no_number_on_the_twin(
    duckdb_warehouse: DuckdbWarehouse, expression: str
) -> None:
    with pytest.raises(Refused):
        duckdb_warehouse.select(f"SELECT {expression} AS it", {}, 1)


def test_nulls_come_first_as_in_bigquery(duckdb_warehouse: DuckdbWarehouse) -> None:
    text = "SELECT x FROM UNNEST([2, NULL, 1]) AS x ORDER BY x"
    assert [row["x"] for row in duckdb_warehouse.select(text, {}, 3)] == [None, 1, 2]


def test_a_query_of_the_twin_sees_no_other_file_and_no_variable_of_this_program(
    duckdb_warehouse: DuckdbWarehouse, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    for text in (
        f"SELECT * FROM read_csv('{secret}')",
        f"SELECT * FROM `{secret}`",
        f"SELECT * FROM read_text('{secret}')",
        "SELECT * FROM secret",
    ):
        with pytest.raises(RoundsmanError):
            duckdb_warehouse.select(text, {}, 10)
