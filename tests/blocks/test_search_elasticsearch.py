"""What only a real Elasticsearch shows: its types, its aliases, its rights and its sudden death."""

from __future__ import annotations

import json
import os
import shutil
import signal
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from blocks.search import ElasticsearchSearch
from roundsman.errors import Refused, Unready
from roundsman.rules.windows import Bucket, Dataset, Span
from tests.blocks.sides import FIELDS, document
from tests.permits import granted
from tests.servers.elasticsearch import Server, free_port, start, stop
from tests.servers.shared import RUNS

pytestmark = pytest.mark.needs("elasticsearch")

DAY = datetime(2026, 5, 4, tzinfo=UTC)
WHOLE = [Span(DAY, DAY + timedelta(days=7))]

Make = Callable[..., str]


@pytest.fixture
def make(elasticsearch: Server) -> Iterator[Make]:
    """Indices with a mapping and documents of our choice; they go with the test."""
    made: list[str] = []

    def make(word: str, properties: dict[str, Any], documents: list[dict[str, Any]]) -> str:
        name = f"es-{word}-{uuid.uuid4().hex[:8]}"
        made.append(name)
        mapping = {"mappings": {"properties": properties}}
        elasticsearch.ask("PUT", f"/{name}", json.dumps(mapping).encode())
        lines = [line for one in documents for line in ({"index": {}}, one)]
        body = "".join(json.dumps(line) + "\n" for line in lines)
        if documents:
            elasticsearch.ask("POST", f"/{name}/_bulk?refresh=true", body.encode())
        return name

    yield make
    for name in made:
        elasticsearch.ask("DELETE", f"/{name}?ignore_unavailable=true")


@pytest.fixture
def search(elasticsearch: Server) -> ElasticsearchSearch:
    """The block over the plain server, writable."""
    return ElasticsearchSearch(url=elasticsearch.url, sandbox=True)


def _dataset(name: str, key: str = "k") -> Dataset:
    return Dataset(name=name, time_field="t", key_field=key)


def test_nanosecond_dates_keep_their_microseconds_and_mix_with_dates(
    search: ElasticsearchSearch, make: Make
) -> None:
    stem = f"mix{uuid.uuid4().hex[:6]}"
    keyword = {"type": "keyword"}
    make(
        f"{stem}-nanos",
        {"t": {"type": "date_nanos"}, "k": keyword},
        [{"t": "2026-05-04T00:00:02.123456Z", "k": "b"}],
    )
    make(
        f"{stem}-millis",
        {"t": {"type": "date"}, "k": keyword},
        [{"t": "2026-05-04T00:00:01Z", "k": "a"}, {"t": "2026-05-04T00:00:03Z", "k": "c"}],
    )
    data = _dataset(f"es-{stem}-*")

    listed = search.list_rows(data, WHOLE, 10)

    assert [row.key for row in listed.rows] == ["a", "b", "c"]
    assert listed.rows[1].at == DAY + timedelta(seconds=2, microseconds=123456)
    assert search.newest(data).at == DAY + timedelta(seconds=3)
    assert search.newest(data, until=DAY + timedelta(seconds=3)).at == listed.rows[1].at
    assert search.count_buckets(data, "day", WHOLE, "UTC") == [Bucket(DAY, 3)]


def test_dates_of_any_mapped_format_are_read(search: ElasticsearchSearch, make: Make) -> None:
    name = make(
        "format",
        {"t": {"type": "date", "format": "epoch_second"}, "k": {"type": "keyword"}},
        [{"t": int(DAY.timestamp()) + 5, "k": "a"}],
    )

    assert search.newest(_dataset(name)).at == DAY + timedelta(seconds=5)
    assert search.count_buckets(_dataset(name), "minute", WHOLE, "UTC") == [Bucket(DAY, 1)]


def test_an_alias_reads_the_indices_behind_it(
    search: ElasticsearchSearch, make: Make, elasticsearch: Server
) -> None:
    properties = {"t": {"type": "date"}, "k": {"type": "keyword"}}
    names = [
        make(f"behind{i}", properties, [{"t": "2026-05-04T01:00:00Z", "k": str(i)}])
        for i in range(2)
    ]
    alias = f"alias-{uuid.uuid4().hex[:8]}"
    actions = [{"add": {"index": name, "alias": alias}} for name in names]
    elasticsearch.ask("POST", "/_aliases", json.dumps({"actions": actions}).encode())

    listed = search.list_rows(_dataset(alias), WHOLE, 10)

    assert [row.key for row in listed.rows] == ["0", "1"]


def test_the_document_id_can_be_the_key(search: ElasticsearchSearch, make: Make) -> None:
    properties = {"t": {"type": "date"}, "n": {"type": "long"}}
    name = make("ids", properties, [{"t": "2026-05-04T01:00:00Z", "n": i} for i in range(3)])

    listed = search.list_rows(_dataset(name, key="_id"), WHOLE, 10)

    assert len({row.key for row in listed.rows}) == 3
    assert granted(search.remove, _dataset(name, key="_id"), [listed.rows[0].key]) == 1


def test_an_integer_can_be_the_key(search: ElasticsearchSearch, make: Make) -> None:
    properties = {"t": {"type": "date"}, "n": {"type": "integer"}}
    name = make("orders", properties, [{"t": "2026-05-04T01:00:00Z", "n": i} for i in (9, 10)])

    listed = search.list_rows(_dataset(name, key="n"), WHOLE, 10)

    assert sorted(row.key for row in listed.rows) == ["10", "9"]


def test_a_text_as_key_is_refused_and_its_keyword_is_offered(
    search: ElasticsearchSearch, make: Make
) -> None:
    key = {"type": "text", "fields": {"keyword": {"type": "keyword"}}}
    name = make("texts", {"t": {"type": "date"}, "k": key}, [{"t": "2026-05-04T01:00Z", "k": "x"}])

    with pytest.raises(Refused, match=r"'k' .* is of type text.*such as 'k\.keyword'"):
        search.list_rows(_dataset(name), WHOLE, 10)
    assert search.list_rows(_dataset(name, key="k.keyword"), WHOLE, 10).rows[0].key == "x"
    assert search.fields(_dataset(name)) == {"t": "timestamp", "k": "text"}


def test_a_row_with_two_times_is_no_number(search: ElasticsearchSearch, make: Make) -> None:
    from roundsman.errors import Misread

    properties = {"t": {"type": "date"}, "k": {"type": "keyword"}}
    name = make(
        "twice", properties, [{"t": ["2026-05-04T01:00:00Z", "2026-05-05T01:00:00Z"], "k": "a"}]
    )

    with pytest.raises(Misread, match="2 rows in buckets but 1 hits"):
        search.count_buckets(_dataset(name), "day", WHOLE, "UTC")


def test_fingerprints_of_mixed_signs_are_refused_before_they_could_be_rounded(
    search: ElasticsearchSearch, make: Make
) -> None:
    properties = {"t": {"type": "date"}, "k": {"type": "keyword"}, "f": {"type": "long"}}
    values = [2**52, 2**52, -(2**52), 1]
    documents = [{"t": "2026-05-04T01:00:00Z", "k": str(v), "f": v} for v in values]
    data = Dataset(
        name=make("signs", properties, documents),
        time_field="t",
        key_field="k",
        fingerprint_field="f",
    )

    with pytest.raises(Refused, match=r"2\*\*53"):
        search.count_buckets(data, "day", WHOLE, "UTC")


def test_a_field_that_only_one_index_of_a_pattern_maps_still_counts(
    search: ElasticsearchSearch, make: Make
) -> None:
    stem = f"half{uuid.uuid4().hex[:6]}"
    make(f"{stem}-with", {"t": {"type": "date"}, "k": {"type": "keyword"}},
         [{"t": "2026-05-04T01:00:00Z", "k": "a"}])  # fmt: skip
    make(f"{stem}-without", {"other": {"type": "keyword"}}, [{"other": "b"}])
    data = _dataset(f"es-{stem}-*")

    assert [row.key for row in search.list_rows(data, WHOLE, 10).rows] == ["a"]
    assert search.count_buckets(data, "day", WHOLE, "UTC") == [Bucket(DAY, 1)]
    assert search.count_without_time(data) == 1


def test_a_closed_index_is_refused(
    search: ElasticsearchSearch, make: Make, elasticsearch: Server
) -> None:
    name = make("closed", {"t": {"type": "date"}, "k": {"type": "keyword"}}, [])
    elasticsearch.ask("POST", f"/{name}/_close")

    with pytest.raises(Refused, match=name):
        search.newest(_dataset(name))


def test_more_buckets_than_the_server_allows_are_refused_with_the_remedy(
    search: ElasticsearchSearch, make: Make
) -> None:
    properties = {"t": {"type": "date"}, "k": {"type": "keyword"}}
    documents = [
        {"t": int((DAY + timedelta(minutes=i)).timestamp() * 1000), "k": str(i)}
        for i in range(65_600)
    ]
    name = make("many", properties, documents)
    long = [Span(DAY, DAY + timedelta(days=60))]

    with pytest.raises(Refused, match="shorter window"):
        search.count_buckets(_dataset(name), "minute", long, "UTC")


def test_documents_are_found_by_every_word(search: ElasticsearchSearch, make: Make) -> None:
    name = make("find", {"s": {"type": "text"}}, [])
    granted(
        search.replace,
        name,
        {"subject": "text", "body": "text"},
        [
            {"subject": "Invoice overdue", "body": "please pay"},
            {"subject": "Invoice", "body": "paid, thanks"},
        ],
    )

    assert len(search.find(name, "invoice", 10)) == 2
    assert search.find(name, "overdue pay", 10) == [
        {"subject": "Invoice overdue", "body": "please pay"}
    ]
    assert search.find(name, "nothing", 10) == []


def test_replacing_an_alias_is_refused(
    search: ElasticsearchSearch, make: Make, elasticsearch: Server
) -> None:
    name = make("real", {"t": {"type": "date"}}, [])
    alias = f"alias-{uuid.uuid4().hex[:8]}"
    actions = [{"add": {"index": name, "alias": alias}}]
    elasticsearch.ask("POST", "/_aliases", json.dumps({"actions": actions}).encode())

    with pytest.raises(Refused, match=alias):
        granted(search.replace, alias, FIELDS, [document(1, DAY)])


def test_a_server_without_security_says_that_rights_are_unknown(
    search: ElasticsearchSearch,
) -> None:
    probe = search.probe()

    assert probe.version.startswith("Elasticsearch ")
    assert probe.can_write is None
    assert "security is off" in probe.notes[0]


# With security on.

# Workers share the server, but not the indices.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
ALLOWED, FORBIDDEN = f"{WORKER}-allowed", f"{WORKER}-forbidden"


@pytest.fixture(scope="module")
def secured(secured_elasticsearch: Server) -> Server:
    """The secured server with two indices."""
    block = ElasticsearchSearch(
        url=secured_elasticsearch.url,
        username=secured_elasticsearch.user,
        password=secured_elasticsearch.password,  # pyright: ignore
        sandbox=True,
    )
    for name in (ALLOWED, FORBIDDEN):
        granted(block.replace, name, FIELDS, [document(i, DAY) for i in range(3)])
    return secured_elasticsearch


def _with_key(server: Server, *privileges: str, cluster: tuple[str, ...] = ()) -> Any:
    role = {
        "cluster": list(cluster),
        "index": [{"names": [f"{WORKER}-all*"], "privileges": list(privileges)}],
    }
    body = json.dumps({"name": "test", "role_descriptors": {"test": role}}).encode()
    told = json.loads(server.ask("POST", "/_security/api_key", body))
    return ElasticsearchSearch(url=server.url, api_key=told["encoded"])


def _mails(name: str) -> Dataset:
    return Dataset(name=name, time_field="received_at", key_field="message_id")


def test_a_key_that_may_only_read_is_enough_for_every_read(secured: Server) -> None:
    search = _with_key(secured, "read")

    for name in (ALLOWED, f"{WORKER}-all*"):
        data = _mails(name)
        assert search.count_buckets(data, "day", WHOLE, "UTC") == [Bucket(DAY, 3)]
        assert len(search.list_rows(data, WHOLE, 20_000).rows) == 3
        assert search.newest(data).at == DAY
        assert search.count_without_time(data) == 0
        assert search.fields(data)["subject"] == "text"
        assert search.estimate(data, WHOLE).rows == 3
        assert len(search.find(name, "invoice", 5)) == 3


@pytest.mark.parametrize(
    "name",
    [FORBIDDEN, f"{ALLOWED},{FORBIDDEN}", f"{WORKER}-forb*"],
    ids=["index", "list", "pattern"],
)
def test_what_a_key_may_not_read_is_refused_with_the_remedy(secured: Server, name: str) -> None:
    search = _with_key(secured, "read")

    for read in (
        lambda: search.count_buckets(_mails(name), "day", WHOLE, "UTC"),
        lambda: search.newest(_mails(name)),
        lambda: search.fields(_mails(name)),
        lambda: search.list_rows(_mails(name), WHOLE, 20_000),
    ):
        with pytest.raises(Refused, match="grant read") as refused:
            read()
        assert f"search '{name}' refused ({refused.value.status})" in refused.value.said


@pytest.mark.parametrize(
    "credentials",
    [
        {"api_key": "bm90OmFrZXk="},
        {"username": "admin", "password": "wrong"},
        {},
    ],
    ids=["key", "password", "nothing"],
)
def test_wrong_or_missing_credentials_are_refused_and_never_repeated(
    secured: Server, credentials: dict[str, str]
) -> None:
    search = ElasticsearchSearch.model_validate({"url": secured.url, **credentials})

    with pytest.raises(Refused, match=r"refused \(401\)") as refused:
        search.newest(_mails(ALLOWED))

    assert "API key or password" in refused.value.remedy
    told = str(refused.value)
    assert not any(secret in told for key, secret in credentials.items() if key != "username")


@pytest.mark.parametrize(
    ("privileges", "cluster", "can_write"),
    [
        (("read",), (), False),
        (("read", "view_index_metadata"), ("monitor",), False),
        (("read", "create_doc"), (), True),
        (("read", "delete"), (), True),
        (("all",), (), True),
        (("read",), ("manage_ingest_pipelines",), True),
    ],
    ids=str,
)
def test_a_probe_says_whether_a_key_could_write(
    secured: Server, privileges: tuple[str, ...], cluster: tuple[str, ...], can_write: bool
) -> None:
    probe = _with_key(secured, *privileges, cluster=cluster).probe()

    assert probe.reachable
    assert probe.can_write is can_write
    assert any("use a key that" in note for note in probe.notes) is can_write
    assert ("not told" in "".join(probe.notes)) is ("monitor" not in cluster)


def test_a_superuser_could_write(secured: Server) -> None:
    block = ElasticsearchSearch.model_validate(
        {"url": secured.url, "username": secured.user, "password": secured.password}
    )

    assert block.probe().can_write


def test_a_server_that_is_killed_is_unready_and_so_is_one_that_never_was(secured: Server) -> None:
    nobody = ElasticsearchSearch(url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Unready, match="did not answer"):
        nobody.newest(_mails(ALLOWED))

    run_dir = RUNS / f"killed-{uuid.uuid4().hex[:8]}"
    server = start(free_port(), run_dir)
    search = ElasticsearchSearch(url=server.url, sandbox=True)
    try:
        granted(search.replace, ALLOWED, FIELDS, [document(1, DAY)])
        assert search.newest(_mails(ALLOWED)).at == DAY
    finally:
        stop(server, by=signal.SIGKILL)
        shutil.rmtree(run_dir)

    for ask in (
        lambda: search.newest(_mails(ALLOWED)),
        lambda: search.probe(),
        lambda: granted(search.append, ALLOWED, [document(2, DAY)]),
    ):
        with pytest.raises(Unready, match=r"did not answer.*start the server"):
            ask()
