"""The real search: Elasticsearch through its official client, and what its failures mean."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from blocks.acting import not_begun
from blocks.bounds import AnswerTooLarge, BoundedPool
from blocks.dataset import Fields, Rows, of_append, of_remove, of_replace
from blocks.search import elasticsearch_answers as answers
from blocks.search import elasticsearch_bodies as bodies
from blocks.search.contract import Search, check_index_name, check_roles
from blocks.search.elasticsearch_errors import meaning
from blocks.search.elasticsearch_probe import privileges_asked, probe_of, unknown_rights
from blocks.search.elasticsearch_writes import bulk_lines, check_deleted, check_written, key_chunks
from roundsman.budget import spend
from roundsman.errors import Misread, Mistake, Refused, Unready
from roundsman.permits import Permit, effect
from roundsman.rules.windows import (
    Bucket,
    Dataset,
    Estimate,
    FieldType,
    Level,
    Listing,
    Newest,
    Probe,
    Row,
    Span,
)

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

# What a read of metadata may take; such reads are no operations.
METADATA_SECONDS = 20.0
# Elasticsearch's own default for `index.max_result_window`.
PAGE_ROWS_MAX = 10_000
# How long a point in time outlives the last page that was read from it.
KEEP_ALIVE = "2m"
# A call whose time is used up still gets a moment, so that it ends with the server's own words.
SECONDS_MIN = 0.05
DEFAULT_PORTS = {"http": 9200, "https": 443}
BESIDE = "point 'url' at the server itself, not at a page before it"
# What reading an answer raises that is no JSON object, holds other types or is nested too deeply.
ANOTHER_SHAPE = (*(KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError),)
# Patterns must mean something: a part that names no index is an error, never a zero.
STRICT: dict[str, Any] = {"allow_no_indices": False, "ignore_unavailable": False}


class Call:
    """One question to the server: its client, its name in messages and its deadline."""

    def __init__(self, client: Elasticsearch, name: str, seconds: float) -> None:
        self._client = client
        self._end = time.monotonic() + seconds
        self.name = name

    def client(self, at_most: float = float("inf")) -> Elasticsearch:
        """The client, allowed what is left of the time."""
        left = max(min(self._end - time.monotonic(), at_most), SECONDS_MIN)
        return self._client.options(request_timeout=left)

    def search(self, **body: Any) -> answers.Answer:
        """One page that is complete: every shard, in time."""
        answer = self.client().search(allow_partial_search_results=False, **body)
        return answers.believe(answer.body, self.name)


class ElasticsearchSearch(Search):
    """An Elasticsearch 9 server or cloud deployment; patterns, aliases and data streams."""

    _block_type_name = "Search on Elasticsearch"
    _block_type_slug = "elasticsearch-search"
    _description = "An Elasticsearch server or cloud deployment that Roundsman may read."
    kind: ClassVar[str] = "elasticsearch"

    url: str | None = Field(default=None, description="http://host:9200 or https://host.")
    cloud_id: str | None = Field(default=None, description="Elastic Cloud's id, instead of a url.")
    api_key: SecretStr | None = Field(default=None, description="An API key that may only read.")
    username: str | None = Field(default=None, description="A user, instead of an API key.")
    password: SecretStr | None = Field(default=None, description="The password of that user.")
    ca_file: Path | None = Field(
        default=None, description="The certificate authority of the server, as a PEM file."
    )

    @field_validator("url")
    @classmethod
    def _complete(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise ValueError("write it as http://host:9200 or https://host")
        if parts.username or parts.password:
            raise ValueError("leave user and password out of it; use 'username' and 'password'")
        if parts.port is None:
            parts = parts._replace(netloc=f"{parts.netloc}:{DEFAULT_PORTS[parts.scheme]}")
        return parts.geturl()

    @model_validator(mode="after")
    def _is_consistent(self) -> ElasticsearchSearch:
        if (self.url is None) == (self.cloud_id is None):
            raise ValueError("needs exactly one of 'url' and 'cloud_id'")
        if (self.username is None) != (self.password is None):
            raise ValueError("needs 'username' and 'password' together")
        if self.api_key is not None and self.username is not None:
            raise ValueError("needs either 'api_key' or 'username', not both")
        return self

    def count_buckets(
        self, data: Dataset, level: Level, spans: Sequence[Span], zone: str
    ) -> list[Bucket]:
        """See the contract."""
        with self._operation(data.name) as call:
            self._types(call, data)
            answer = call.search(
                index=data.name,
                size=0,
                track_total_hits=True,
                query=bodies.within(data, spans),
                aggs=bodies.histogram(data, level, zone),
                **STRICT,
            )
            buckets = answers.buckets_of(answer, data)
        answers.check_days(buckets, list(spans), level, zone, data.name)
        return buckets

    def list_rows(self, data: Dataset, spans: Sequence[Span], limit: int) -> Listing:
        """See the contract; up to 9,999 rows are one operation."""
        size = min(limit + 1, PAGE_ROWS_MAX)
        rows: list[Row] = []
        with self._operation(data.name) as call:
            types = self._types(call, data)
            body = {
                "size": size,
                "query": bodies.within(data, spans),
                "sort": bodies.sort_by_time(data, types, "asc"),
                "source": False,
                "track_total_hits": False,
            }
            if data.fingerprint_field:
                body["docvalue_fields"] = [{"field": data.fingerprint_field}]
            if size == limit + 1:
                found = call.search(index=data.name, **body, **STRICT)
                hits = answers.hits_of(found, data.name, size)
                rows = [answers.row_of(hit, data) for hit in hits]
            else:
                rows = [answers.row_of(hit, data) for hit in _pages(call, body, limit + 1)]
        rows.sort(key=lambda row: (row.at, row.key))
        return Listing(rows[:limit], cut=len(rows) > limit)

    def newest(self, data: Dataset, until: datetime | None = None) -> Newest:
        """See the contract."""
        with self._operation(data.name) as call:
            types = self._types(call, data)
            answer = call.search(
                index=data.name,
                size=1,
                query=bodies.with_time(data, until),
                sort=bodies.sort_by_time(data, types, "desc"),
                source=False,
                track_total_hits=False,
                **STRICT,
            )
        hits = answers.hits_of(answer, data.name, 1)
        return Newest(answers.row_of(hits[0], data).at if hits else None, by="query")

    def count_without_time(self, data: Dataset) -> int:
        """See the contract."""
        with self._operation(data.name) as call:
            self._types(call, data)
            query = bodies.without_time(data)
            answer = call.search(
                index=data.name, size=0, track_total_hits=True, query=query, **STRICT
            )
        return answers.total_of(answer, data.name)

    def count_duplicate_keys(self, data: Dataset, span: Span) -> int | None:
        """None: Elasticsearch counts distinct keys only approximately."""
        return None

    def fields(self, data: Dataset) -> dict[str, FieldType]:
        """See the contract; sub-fields such as 'subject.keyword' and objects are left out."""
        with self._metadata(data.name) as call:
            answer = call.client().field_caps(
                index=data.name, fields="*", filters=["-metadata", "-multifield"], **STRICT
            )
        return answers.field_types(answers.types_of(answer.body, data.name))

    def estimate(self, data: Dataset, spans: Sequence[Span]) -> Estimate:
        """See the contract; Elasticsearch bills no bytes."""
        with self._metadata(data.name) as call:
            self._types(call, data)
            answer = call.client().count(
                index=data.name, query=bodies.within(data, spans), **STRICT
            )
            told = answers.believe(answer.body, data.name)
        return Estimate(rows=answers.count_of(told, "count", data.name), bytes=None)

    def probe(self) -> Probe:
        """See the contract; where security is off, who may write is unknown."""
        with self._metadata("*") as call:
            seen = call.client().field_caps(index="*", fields="_id", include_unmapped=True)
            version, notes = self._version(call)
            try:
                asked = privileges_asked(answers.indices_of(seen.body, "*"))
                with _translated("*", self._place):
                    told = call.client().security.has_privileges(**asked)
            except Refused as refused:
                notes += (unknown_rights(refused),)
                return Probe(reachable=True, version=version, can_write=None, notes=notes)
        return probe_of(version, told.body, notes)

    @effect("repeatable", of_replace)
    def replace(self, name: str, fields: Fields, rows: Rows, *, permit: Permit) -> int:
        """See the contract; the old index is gone before the new one is filled."""
        self.require_sandbox("replace", name)
        check_index_name(name)
        with self._operation(name) as call:
            call.client().indices.delete(index=name, ignore_unavailable=True)
            call.client().indices.create(index=name, mappings=bodies.mapping(fields))
        return self._append(name, rows, permit.key)

    @effect("repeatable", of_append)
    def append(self, name: str, rows: Rows, *, permit: Permit) -> int:
        """See the contract; each batch is one operation, and again it meets its own documents."""
        self.require_sandbox("append to", name)
        check_index_name(name)
        with not_begun(), self._metadata(name) as call:
            call.client().indices.get_mapping(index=name)
        return self._append(name, rows, permit.key)

    def _append(self, name: str, rows: Rows, key: str) -> int:
        count = 0
        for lines in bulk_lines(rows, key):
            with self._operation(name) as call:
                answer = call.client().bulk(index=name, operations=lines, refresh=True)
                count += check_written(answer.body, name, len(lines) // 2)
        return count

    @effect("repeatable", of_remove)
    def remove(self, data: Dataset, keys: Sequence[str], *, permit: Permit) -> int:
        """See the contract; each batch is one operation."""
        self.require_sandbox("remove from", data.name)
        count = 0
        for chunk in key_chunks(keys):
            with self._operation(data.name) as call:
                answer = call.client().delete_by_query(
                    index=data.name,
                    query=bodies.having_keys(data, chunk),
                    refresh=True,
                    conflicts="proceed",
                    **STRICT,
                )
                count += check_deleted(answer.body, data.name)
        return count

    def find(self, name: str, text: str, limit: int) -> list[dict[str, Any]]:
        """See the contract."""
        with self._operation(name) as call:
            types = call.client().field_caps(index=name, fields="*", types="text", **STRICT)
            query = bodies.holding_words(answers.types_of(types.body, name), text)
            answer = call.search(
                index=name, size=limit, query=query, track_total_hits=False, **STRICT
            )
        return [answers.source_of(hit, name) for hit in answers.hits_of(answer, name, limit)]

    def _types(self, call: Call, data: Dataset) -> dict[str, list[str]]:
        """The types of the fields that play a part; Refused when one is missing or unfit."""
        wanted = [data.time_field, data.key_field, data.fingerprint_field, *data.filter]
        roles = [field for field in wanted if field]
        named = [*roles, f"{data.key_field}.keyword"]
        answer = call.client(METADATA_SECONDS).field_caps(index=data.name, fields=named, **STRICT)
        types = answers.types_of(answer.body, data.name)
        check_roles(data, answers.field_types(types))
        return types

    def _version(self, call: Call) -> tuple[str, tuple[str, ...]]:
        """The version, or a note when the credentials may not ask for it (which is well)."""
        try:
            with _translated("*", self._place):
                told = call.client().info().body
        except Refused as refused:
            return "Elasticsearch", (
                f"its version is not told to these credentials: {refused.said}",
            )
        return f"Elasticsearch {answers.text_of(told.get('version'), 'number', '*')}", ()

    @property
    def _place(self) -> str:
        return self.url or "the cloud deployment"

    @contextmanager
    def _operation(self, name: str) -> Generator[Call]:
        with self._connected(name, spend(f"search '{name}'")) as call:
            yield call

    @contextmanager
    def _metadata(self, name: str) -> Generator[Call]:
        with self._connected(name, METADATA_SECONDS) as call:
            yield call

    @contextmanager
    def _connected(self, name: str, seconds: float) -> Generator[Call]:
        import elasticsearch

        options: dict[str, Any] = {"hosts": self.url} if self.url else {"cloud_id": self.cloud_id}
        if self.api_key is not None:
            options["api_key"] = self.api_key.get_secret_value()
        if self.username is not None and self.password is not None:
            options["basic_auth"] = (self.username, self.password.get_secret_value())
        if self.ca_file is not None:
            options["ca_certs"] = str(self.ca_file)
            if not self.ca_file.is_file():
                raise Mistake(f"ca_file '{self.ca_file}' does not exist", "correct its path")
        options |= {"max_retries": 0, "retry_on_timeout": False, "retry_on_status": ()}
        try:
            client = elasticsearch.Elasticsearch(**options)
        except ValueError as error:
            raise Mistake(f"search at {self._place}: {error}", "correct systems.yaml") from error
        nodes: Any = client.transport.node_pool.all()
        for node in nodes:
            # By itself the client reads whatever comes.
            node.pool = BoundedPool(node.pool)
        with closing(client), _translated(name, self._place):
            yield Call(client, name, seconds)


@contextmanager
def _translated(name: str, place: str) -> Generator[None]:
    """Raise what the client raises as one of our errors."""
    import elasticsearch

    try:
        yield
    except elasticsearch.UnsupportedProductError as error:
        raise Refused(
            f"search '{name}' at {place} is not Elasticsearch, or something answers in its place",
            "point 'url' at Elasticsearch 9; OpenSearch is not spoken to",
        ) from error
    except elasticsearch.ApiError as error:
        raise meaning(name, error.meta.status, error.body) from error
    except elasticsearch.SSLError as error:
        raise Refused(
            f"search '{name}' at {place} was not trusted: {error.message}",
            "set 'ca_file' to the server's certificate authority",
        ) from error
    except elasticsearch.SerializationError as error:
        raise Misread(
            f"search '{name}' at {place} answered with something that is no JSON", BESIDE
        ) from error
    except elasticsearch.TransportError as error:
        raise Unready(
            f"search '{name}' at {place} did not answer: {error.message}",
            "start the server, or correct its address in systems.yaml",
        ) from error
    except AnswerTooLarge as error:
        raise Misread(
            f"search '{name}' at {place} answered with {error}",
            "ask for a shorter window, or name fewer indices",
        ) from error
    except ANOTHER_SHAPE as error:
        raise Misread(
            f"search '{name}' at {place} answered in another shape ({error!r:.120})", BESIDE
        ) from error


def _pages(call: Call, body: dict[str, Any], limit: int) -> Iterator[dict[str, Any]]:
    """Hits of as many pages as needed, all of one point in time; each page is an operation."""
    opened = call.client().open_point_in_time(index=call.name, keep_alive=KEEP_ALIVE)
    pit = answers.text_of(opened.body, "id", call.name)
    after: dict[str, Any] = {}
    count = 0
    try:
        while count < limit:
            if after:
                call = Call(call.client(), call.name, spend(f"search '{call.name}', next page"))
            page = call.search(pit={"id": pit, "keep_alive": KEEP_ALIVE}, **body, **after)
            hits = answers.hits_of(page, call.name, body["size"])
            yield from hits[: limit - count]
            count += len(hits)
            if len(hits) < body["size"]:
                return
            after = {"search_after": hits[-1]["sort"]}
    finally:
        call.client().close_point_in_time(id=pit)
