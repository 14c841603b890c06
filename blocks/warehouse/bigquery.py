"""The warehouse in BigQuery, by its official client: a read is one SELECT, priced beforehand."""

from __future__ import annotations

import concurrent.futures
import tempfile
import time
import uuid
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Literal, cast

from pydantic import Field, PrivateAttr

from blocks.acting import not_begun
from blocks.bounds import AnswerTooLarge, bound
from blocks.dataset import Fields, Rows, of_append, of_remove, of_replace
from blocks.patience import at_most, seconds_for
from blocks.warehouse import queries
from blocks.warehouse.bigquery_jobs import (
    first_line,
    parameter_type,
    raise_meaning,
    read_pages,
    require_whole,
    run_labels,
    seconds_left,
    wait_for,
)
from blocks.warehouse.bigquery_tables import COLUMN_TYPES, table_of
from blocks.warehouse.contract import Answer, Warehouse
from blocks.warehouse.loading import write_lines
from blocks.warehouse.partitions import FOREVER, newest_start, rows_within
from blocks.warehouse.queries import KEYS_PER_STATEMENT, Query
from blocks.warehouse.sql import require_select
from blocks.warehouse.tables import Table, TableName, check_roles, parse_table_name
from roundsman.budget import spend
from roundsman.errors import Denied, Misread, Refused, Unready
from roundsman.permits import Permit, effect
from roundsman.rules.windows import Dataset, Estimate, Newest, Probe, Span

PAGE_ROWS = 10_000
# What a look at metadata or a dry run may take; such looks are no operations.
METADATA_SECONDS = 20.0
PARTITIONS_MAX = 20_000
# BigQuery bills at least this much for a query, so a lower cap would refuse them all.
BILLED_BYTES_MIN = 10 * 1024 * 1024
LOAD_SECONDS = 300.0
CANCEL_SECONDS = 5.0
SCOPE = "https://www.googleapis.com/auth/bigquery"
WRITE_PERMISSION = "bigquery.tables.updateData"


class BigQueryWarehouse(Warehouse):
    """Tables in BigQuery; reads carry the run's id as a label and a cap on what they may bill."""

    _block_type_name = "Warehouse in BigQuery"
    _block_type_slug = "bigquery-warehouse"
    _description = "A warehouse in Google BigQuery."

    kind: Literal["bigquery"] = "bigquery"
    project: str = Field(description="The project that is billed, and holds unqualified tables.")
    location: str | None = Field(default=None, description="Where the datasets are, such as EU.")
    credentials_file: Path | None = Field(
        default=None, description="A key file; unset: the machine's own credentials."
    )
    api_endpoint: str | None = Field(
        default=None, description="Another address of the API; http:// means no credentials."
    )
    maximum_bytes_billed: int = Field(
        default=10_000_000_000, ge=BILLED_BYTES_MIN, description="The most that one read may bill."
    )
    timeout_seconds: float = Field(
        default=60.0, gt=0, description="After how long a query is cancelled."
    )

    _opened: Any = PrivateAttr(default=None)

    def describe(self, name: str) -> Table:
        """See the contract."""
        wanted = parse_table_name(name)
        wanted = wanted._replace(project=wanted.project or self.project)
        with _translated(f"describe warehouse '{name}'"):
            table = self._client().get_table(str(wanted), **_once())
            return table_of(wanted, table)

    def answer(self, query: Query, what: str, rows_max: int) -> Answer:
        """See the contract."""
        require_select(query.text)
        seconds = seconds_for(what, self.timeout_seconds)
        deadline = time.monotonic() + seconds
        with _translated(what):
            self._require_cheap_select(query, what, seconds)
            job = self._finished(query, what, deadline)
            rows = job.result(
                page_size=min(rows_max, PAGE_ROWS),
                retry=None,
                job_retry=None,
                timeout=seconds_left(deadline),
            )
            return read_pages(rows, what, rows_max, self.timeout_seconds)

    def estimate(self, data: Dataset, spans: Sequence[Span]) -> Estimate:
        """See the contract: bytes by a dry run, rows by the table's partitions."""
        table = self.describe(data.name)
        check_roles(data, table)
        what = f"estimate warehouse '{data.name}'"
        query = queries.count_buckets(data, table, "hour", spans, "UTC")
        with _translated(what):
            scanned = self._dry_run(query, at_most(METADATA_SECONDS)).total_bytes_processed
        rows = table.rows
        if rows and table.partition and table.partition.column == data.time_field:
            rows = rows_within(self._partitions(table), table.partition.unit, spans)
        return Estimate(rows, scanned)

    def newest_by_metadata(
        self, data: Dataset, table: Table, until: datetime | None
    ) -> Newest | datetime | None:
        """See the contract: an empty table, and a date column cut by days, need no query."""
        if table.rows == 0 and not table.streaming:
            return Newest(None, by="metadata")
        cut = table.partition
        if cut is None or cut.column != data.time_field:
            return None
        start = newest_start(self._partitions(table), cut.unit, until or FOREVER)
        is_exact = cut.clock == "DATE" and cut.unit == "DAY"
        if start and is_exact and not data.filter and not table.streaming:
            return Newest(start, by="metadata")
        return start

    def probe(self) -> Probe:
        """See the contract: a dry run, and what the credentials may do to the first table found."""
        with _translated(f"ask BigQuery in project '{self.project}'"):
            self._dry_run(Query("SELECT 1", {}), at_most(METADATA_SECONDS))
            writes, note = self._may_write()
        cap = f"a read may bill at most {self.maximum_bytes_billed} bytes"
        return Probe(
            reachable=True,
            version=f"BigQuery v2, {self.location or 'location by dataset'}",
            can_write=writes,
            notes=(note, cap),
        )

    @effect("repeatable", of_replace)
    def replace(self, name: str, fields: Fields, rows: Rows, *, permit: Permit) -> int:
        """See the contract: one load job, whole or not at all."""
        self.require_sandbox("replace", name)
        wanted = parse_table_name(name)
        with _translated(f"replace warehouse '{name}'"):
            self._make_dataset(wanted)
        return self._load(wanted, fields, rows, "WRITE_TRUNCATE")

    @effect("once", of_append)
    def append(self, name: str, rows: Rows, *, permit: Permit) -> int:
        """See the contract; no row says which permit brought it, so never again by itself."""
        self.require_sandbox("append to", name)
        with not_begun():
            table = self.describe(name)
        fields = table.field_types()
        return self._load(table.name, fields, rows, "WRITE_APPEND")

    @effect("repeatable", of_remove)
    def remove(self, data: Dataset, keys: Sequence[str], *, permit: Permit) -> int:
        """See the contract."""
        self.require_sandbox("remove from", data.name)
        with not_begun():
            table = self.describe(data.name)
        check_roles(data, table)
        what = f"remove from warehouse '{data.name}'"
        count = 0
        for first in range(0, len(keys), KEYS_PER_STATEMENT):
            query = queries.remove_keys(data, table, keys[first : first + KEYS_PER_STATEMENT])
            seconds = seconds_for(what, self.timeout_seconds)
            with _translated(what):
                job = self._finished(query, what, time.monotonic() + seconds)
                job.result(retry=None, job_retry=None, timeout=seconds)
            count += int(job.num_dml_affected_rows or 0)
        return count

    # How a text reaches BigQuery.

    def _client(self) -> Any:  # the client's own annotations know no `retry=None`
        if self._opened is None:
            from google.cloud import bigquery

            options = {"api_endpoint": self.api_endpoint} if self.api_endpoint else None
            self._opened = bigquery.Client(
                project=self.project,
                location=self.location,
                credentials=self._credentials(),
                client_options=options,
            )
            self._opened._http.hooks["response"].append(bound)
        return self._opened

    def _credentials(self) -> Any:
        """Those of the key file, none for a test server, or None: the machine's own."""
        import google.auth
        from google.auth.credentials import AnonymousCredentials

        if self.credentials_file is not None:
            load = cast("Any", google.auth.load_credentials_from_file)  # is not annotated
            return load(str(self.credentials_file), scopes=[SCOPE])[0]
        if self.api_endpoint and self.api_endpoint.startswith("http://"):
            return AnonymousCredentials()
        return None

    def _require_cheap_select(self, query: Query, what: str, seconds: float) -> None:
        """BigQuery's own word, before it runs, that the text only reads and what it would read."""
        plan = self._dry_run(query, min(seconds, METADATA_SECONDS))
        if plan.statement_type != "SELECT":
            raise Denied(
                f"{what}: BigQuery calls the query {plan.statement_type or 'no statement'}",
                "the warehouse is only read",
            )
        scanned = plan.total_bytes_processed
        if scanned is None:
            raise Misread(f"{what}: BigQuery's dry run names no bytes")
        if scanned > self.maximum_bytes_billed:
            raise Refused(
                f"{what} would read {scanned} bytes, and {self.maximum_bytes_billed} are allowed",
                "shorten the window, or raise maximum_bytes_billed in systems.yaml",
            )

    def _dry_run(self, query: Query, seconds: float) -> Any:
        config = _job_config(query)
        config.dry_run = True
        config.use_query_cache = False
        return self._client().query(
            query.text, job_config=config, retry=None, job_retry=None, timeout=seconds
        )

    def _finished(self, query: Query, what: str, deadline: float) -> Any:
        """The job, done; cancelled where it takes too long or the run is stopped meanwhile."""
        left = seconds_left(deadline)
        config = _job_config(query)
        config.maximum_bytes_billed = self.maximum_bytes_billed
        config.job_timeout_ms = int(left * 1000)
        job = self._client().query(
            query.text,
            job_config=config,
            job_id=f"roundsman_{uuid.uuid4().hex}",
            retry=None,
            job_retry=None,
            timeout=left,
        )
        try:
            wait_for(job, what, deadline)
        except BaseException:
            _cancel(job)
            raise
        return job

    def _partitions(self, table: Table) -> list[tuple[str, int]]:
        """Ids and row counts of the non-empty partitions, newest first; no operation."""
        query = queries.partitions(table.name)
        what = f"read the partitions of warehouse '{table.name}'"
        with _translated(what):
            seconds = at_most(METADATA_SECONDS)
            self._require_cheap_select(query, what, seconds)
            job = self._finished(query, what, time.monotonic() + seconds)
            rows = job.result(
                page_size=PARTITIONS_MAX,
                max_results=PARTITIONS_MAX,
                retry=None,
                job_retry=None,
                timeout=seconds,
            )
            found = list(rows)
            require_whole(len(found), rows, what, PARTITIONS_MAX)
            return [(str(row[0]), int(row[1])) for row in found if row[0] is not None]

    def _may_write(self) -> tuple[bool | None, str]:
        """Asked of one table, without touching it; None where there is none to ask about."""
        from google.api_core.exceptions import GoogleAPICallError

        client = self._client()
        for dataset in client.list_datasets(max_results=10, **_once()):
            for table in client.list_tables(dataset, max_results=1, **_once()):
                try:
                    held = client.test_iam_permissions(table, [WRITE_PERMISSION], **_once())
                except GoogleAPICallError as error:
                    return (
                        None,
                        f"could not ask for permissions on '{table.full_table_id}': {error.code}",
                    )
                writes = WRITE_PERMISSION in held.get("permissions", [])
                return writes, f"asked about '{table.full_table_id}' only"
        return None, "no table is visible to ask about permissions"

    # Writing, for sandboxes only.

    def _make_dataset(self, name: TableName) -> None:
        from google.cloud import bigquery

        dataset = bigquery.Dataset(f"{name.project or self.project}.{name.dataset}")
        dataset.location = self.location
        self._client().create_dataset(dataset, exists_ok=True, **_once())

    def _load(
        self,
        name: TableName,
        fields: Fields,
        rows: Rows,
        disposition: str,
    ) -> int:
        from google.cloud import bigquery

        what = f"load into warehouse '{name}'"
        schema = [bigquery.SchemaField(f, COLUMN_TYPES[kind]) for f, kind in fields.items()]
        target = str(name._replace(project=name.project or self.project))
        with tempfile.TemporaryFile() as file, _translated(what):
            count = write_lines(file, str(name), fields, rows)
            spend(what)
            if count:
                self._load_file(file, target, schema, disposition)
            elif disposition == "WRITE_TRUNCATE":  # an empty file is no load job
                self._client().delete_table(target, not_found_ok=True, **_once())
                self._client().create_table(bigquery.Table(target, schema), **_once())
        return count

    def _load_file(self, file: IO[bytes], target: str, schema: list[Any], disposition: str) -> None:
        from google.cloud import bigquery

        config = bigquery.LoadJobConfig(
            schema=schema,
            source_format="NEWLINE_DELIMITED_JSON",
            write_disposition=disposition,
            labels=run_labels(),
        )
        job = self._client().load_table_from_file(
            file, target, rewind=True, job_config=config, num_retries=0, timeout=LOAD_SECONDS
        )
        job.result(retry=None, timeout=LOAD_SECONDS)


def _once() -> dict[str, Any]:
    """One attempt of a metadata call: our steps retry, not the client."""
    return {"retry": None, "timeout": at_most(METADATA_SECONDS)}


def _job_config(query: Query) -> Any:
    from google.cloud import bigquery

    parameters = [_parameter(name, value) for name, value in query.values.items()]
    return bigquery.QueryJobConfig(
        query_parameters=parameters, labels=run_labels(), use_legacy_sql=False
    )


def _parameter(name: str, value: Any) -> Any:
    from google.cloud import bigquery

    if isinstance(value, list | tuple):
        kind = parameter_type(value[0]) if value else "STRING"  # pyright: ignore[reportUnknownArgumentType] # a caller's own list
        return bigquery.ArrayQueryParameter(name, kind, list(value))  # pyright: ignore[reportUnknownArgumentType] # a caller's own list
    return bigquery.ScalarQueryParameter(name, parameter_type(value), value)


def _cancel(job: Any) -> None:
    """Ask for the job's end; without an answer it ends by itself at its job_timeout_ms."""
    import requests
    from google.api_core.exceptions import GoogleAPICallError

    with suppress(GoogleAPICallError, requests.RequestException):
        job.cancel(retry=None, timeout=CANCEL_SECONDS)


@contextmanager
def _translated(what: str) -> Generator[None]:
    """Whatever the client raises, as one of ours."""
    import requests
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth

    try:
        yield
    except api.GoogleAPICallError as error:
        raise_meaning(what, error)
    except (api.RetryError, auth.TransportError, concurrent.futures.TimeoutError) as error:
        raise Unready(f"{what}: {first_line(error)}", "try again") from error
    except auth.GoogleAuthError as error:
        raise Refused(
            f"{what}: {first_line(error)}",
            "set credentials_file in systems.yaml, or run 'gcloud auth application-default login'",
            status=401,
        ) from error
    except requests.exceptions.JSONDecodeError as error:
        raise Misread(f"{what}: the answer is no JSON") from error
    except requests.RequestException as error:
        raise Unready(
            f"{what}: BigQuery was not reached ({type(error).__name__})", "try again"
        ) from error
    except AnswerTooLarge as error:
        raise Misread(f"{what}: the answer has {error}", "shorten the window") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Misread(f"{what}: the answer has another shape ({error!r:.120})") from error
