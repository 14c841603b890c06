"""systems.yaml: what it may say, how what is wrong with it is told, and what becomes of secrets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from blocks.search import ElasticsearchSearch, SqliteSearch
from blocks.systems import (
    KINDS,
    block_class,
    configuration_hash,
    copy_to_prefect,
    list_systems,
    load_system,
    read_systems,
)
from roundsman.errors import Mistake
from roundsman.rules.redaction import redact_text
from roundsman.settings import get_settings

FULL = """
search:
  local: {kind: sqlite, path: search.db}
  prod:
    kind: elasticsearch
    url: "${ES_HOST:-http://127.0.0.1:9200}"
    api_key: "${ES_API_KEY}"
    ca_file: keys/ca.pem
  cloud: {kind: elasticsearch, cloud_id: "${ES_CLOUD_ID}", api_key: {file: keys/elastic}}
warehouse:
  local: {kind: duckdb, path: warehouse.duckdb}
  prod:
    kind: bigquery
    project: "${BQ_PROJECT}"
    location: EU
    maximum_bytes_billed: "${BQ_BYTES:-10000000000}"
transform:
  local: {kind: dbt, project_dir: dbt, profiles_dir: dbt, target: dev}
notify:
  local: {kind: outbox, path: outbox.jsonl}
  team: {kind: slack, url: "${SLACK_URL}", title_template: "{{ severity }}: {{ said }}"}
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(run_home: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the systems.yaml of this test's home."""
    for name in ("ES_HOST", "ES_API_KEY", "ES_CLOUD_ID", "BQ_PROJECT", "BQ_BYTES", "SLACK_URL"):
        monkeypatch.delenv(name, raising=False)

    def write(text: str) -> Path:
        path = get_settings().systems
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def _search(name: str) -> Any:
    return load_system("search", name)


@pytest.mark.covers("A-094")
def test_a_full_file_is_read_and_systems_that_lack_their_secrets_hinder_no_other(
    write: Write,
) -> None:
    path = write(FULL)

    systems = read_systems(path)

    assert [system.where for system in systems.all()] == [
        "search.local",
        "search.prod",
        "search.cloud",
        "warehouse.local",
        "warehouse.prod",
        "transform.local",
        "notify.local",
        "notify.team",
    ]
    assert systems.warehouse["prod"].kind == "bigquery"
    assert list_systems() == systems.all()
    block = _search("local")
    assert isinstance(block, SqliteSearch)
    assert block.path == path.parent / "search.db"


def test_values_come_from_the_environment_or_their_default(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(FULL)
    monkeypatch.setenv("ES_API_KEY", "c2VjcmV0LWtleQ==")

    block = _search("prod")

    assert isinstance(block, ElasticsearchSearch)
    assert block.url == "http://127.0.0.1:9200"
    assert block.ca_file == path.parent / "keys" / "ca.pem"
    assert block.api_key == SecretStr("c2VjcmV0LWtleQ==")
    monkeypatch.setenv("ES_HOST", "https://es.example:9243")
    assert _search("prod").url == "https://es.example:9243"
    monkeypatch.setenv("BQ_PROJECT", "my-project")
    warehouse: Any = load_system("warehouse", "prod")
    assert (warehouse.project, warehouse.maximum_bytes_billed) == ("my-project", 10_000_000_000)


def test_a_secret_can_stand_in_a_file_of_its_own(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(FULL)
    monkeypatch.setenv("ES_CLOUD_ID", "prod:Y2x1c3Rlci5pbnZhbGlkJGFiYyRkZWY=")
    keys = path.parent / "keys"
    keys.mkdir()
    (keys / "elastic").write_text("ZmlsZS1rZXk=\n")

    assert _search("cloud").api_key.get_secret_value() == "ZmlsZS1rZXk="


def test_a_loaded_secret_is_redacted_from_then_on(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(FULL)
    monkeypatch.setenv("ES_API_KEY", "a-key-that-nobody-guesses")

    _search("prod")

    assert "nobody-guesses" not in redact_text("it said a-key-that-nobody-guesses twice")


def test_an_address_that_is_secret_is_redacted_whole_and_by_its_path(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(FULL)
    monkeypatch.setenv("SLACK_URL", "https://hooks.example/services/T0/B0/nobodyguesses")

    block: Any = load_system("notify", "team")

    assert block.place == "slack at 'hooks.example'"
    assert redact_text("GET /services/T0/B0/nobodyguesses 404") == "GET *** 404"
    assert "nobodyguesses" not in f"{block!r}{redact_text(block.url.get_secret_value())}"
    outbox: Any = load_system("notify", "local")
    assert outbox.path == path.parent / "outbox.jsonl"
    monkeypatch.setenv("SLACK_URL", "hooks.example/nobodyguesses")
    with pytest.raises(Mistake, match=r"notify\.team\.url: is no address") as mistake:
        load_system("notify", "team")
    assert "nobodyguesses" not in str(mistake.value)


def test_a_reference_that_resolves_to_nothing_counts_as_not_written(write: Write) -> None:
    write('search: {p: {kind: elasticsearch, url: "http://a:1", api_key: "${ES_API_KEY:-}"}}')

    assert _search("p").api_key is None


def test_an_empty_file_has_no_systems(write: Write) -> None:
    assert read_systems(write("")).all() == []
    assert read_systems(write("search:\nwarehouse: {}\n")).all() == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("search: [", "in line 1"),
        ("- a", "is no mapping; write 'search:'"),
        ("serch: {}", "'serch' is no role; use search, warehouse, transform, notify"),
        ("search: [a]", "search is no mapping"),
        ("search: {a: b}", "search.a is no mapping"),
        ("search: {Local: {kind: sqlite, path: a}}", "'Local' in search is no name"),
        ("search: {a: {path: x}}", "search.a has no 'kind'; known: sqlite, elasticsearch"),
        ("search: {a: {kind: solr}}", "search.a has the unknown kind 'solr'; known: sqlite"),
        ("search: {a: {kind: duckdb, path: x}}", "unknown kind 'duckdb'"),
        ("notify: {a: {kind: [slack]}}", "notify.a has the unknown kind '['slack']'"),
        ("notify: {a: {kind: slack}}", "notify.a.url is missing; write it below notify.a"),
        ("notify: {a: {kind: outbox, path: 3}}", "notify.a.path: must be a path, as text"),
        (
            "notify: {a: {kind: outbox, path: ~nobody-has-this/o}}",
            "notify.a.path is '~nobody-has-this/o', and nobody has that home folder",
        ),
        (
            "search: {a: {kind: sqlite, path: x, pat: y}}",
            "search.a has the unknown key 'pat'; sqlite knows: kind, path, sandbox",
        ),
        ("search: {a: {kind: sqlite}}", "search.a.path is missing; write it below search.a"),
        (
            "search: {a: {kind: sqlite, path: x, sandbox: perhaps}}",
            "search.a.sandbox: must be true or false",
        ),
        (
            "search: {a: {kind: sqlite, path: x}, a: {kind: sqlite, path: y}}",
            "'a' is written twice",
        ),
        (
            "search: {a: {kind: elasticsearch, url: 'http://b:1', api_key: topsecret}}",
            "the secret search.a.api_key is written out; write a reference",
        ),
        (
            "search: {a: {kind: elasticsearch, url: 'http://b:1', api_key: '${K:-topsecret}'}}",
            "the secret search.a.api_key is written out",
        ),
        (
            "search: {a: {kind: elasticsearch, url: 'http://b:1', api_key: 'x${K}'}}",
            "the secret search.a.api_key is written out",
        ),
        ("search: {a: {kind: elasticsearch}}", "exactly one of 'url' and 'cloud_id'"),
        (
            "search: {a: {kind: elasticsearch, url: 'http://me:topsecret@b:1'}}",
            "search.a.url: leave user and password out of it",
        ),
        (
            "warehouse: {a: {kind: bigquery, project: p, maximum_bytes_billed: many}}",
            "warehouse.a.maximum_bytes_billed: must be a whole number",
        ),
        (
            "notify: {a: {kind: slack, url: 'https://hooks.example/topsecret'}}",
            "the secret notify.a.url is written out",
        ),
        (
            "notify: {a: {kind: outbox, path: o, text_template: '{{ topsecrt }}'}}",
            "notify.a.text_template: the text template names the unknown field 'topsecrt'; known:",
        ),
        (
            "notify: {a: {kind: outbox, path: o, title_template: '{{ said'}}",
            "notify.a.title_template: the title template does not compile in line 1",
        ),
        (
            "search: {a: {kind: elasticsearch, url: 'http://b:1', api_key: {file: no/such}}}",
            "which cannot be read",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence_that_names_file_key_and_remedy(
    write: Write, text: str, said: str
) -> None:
    path = write(text)

    with pytest.raises(Mistake) as mistake:
        read_systems(path)

    told = str(mistake.value)
    assert said in told
    assert str(path) in told
    assert mistake.value.remedy
    assert "\n" not in told
    assert "topsecret" not in told


def test_a_missing_file_says_how_to_write_one(run_home: Path) -> None:
    with pytest.raises(Mistake, match=r"systems\.yaml' does not exist; .*roundsman init"):
        list_systems()


@pytest.mark.covers("A-025")
def test_a_wrong_name_lists_the_known_ones(write: Write) -> None:
    write(FULL)

    with pytest.raises(Mistake, match="no search named 'live'; known: local, prod, cloud"):
        load_system("search", "live")


def test_a_missing_variable_is_named_when_the_system_is_wanted(write: Write) -> None:
    write(FULL)

    with pytest.raises(Mistake, match=r"search\.prod needs the environment variable ES_API_KEY"):
        load_system("search", "prod")


def test_the_hash_tells_configurations_apart_but_never_secrets(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(FULL)
    monkeypatch.setenv("ES_API_KEY", "one")
    first = configuration_hash(_search("prod"))
    monkeypatch.setenv("ES_API_KEY", "another")
    assert configuration_hash(_search("prod")) == first
    monkeypatch.setenv("ES_HOST", "http://elsewhere:9200")
    assert configuration_hash(_search("prod")) != first


def test_every_kind_is_a_block_with_a_name_and_described_fields() -> None:
    seen: set[str] = set()
    for role, kinds in KINDS.items():
        for kind in kinds:
            block = block_class(role, kind)
            assert block.get_block_type_name()
            assert block.get_description()
            seen.add(block.get_block_type_slug())
            fields = {name: field for name, field in block.model_fields.items() if name != "kind"}
            assert not [name for name, field in fields.items() if not field.description]
    assert len(seen) == sum(len(kinds) for kinds in KINDS.values())


@pytest.mark.engine
def test_copies_for_the_ui_carry_no_secret_and_can_be_made_again(
    write: Write, prefect_api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.client.orchestration import get_client

    write(FULL)
    monkeypatch.setenv("ES_API_KEY", "a-key-that-nobody-sees")
    monkeypatch.setenv("SLACK_URL", "https://hooks.example/that-nobody-sees")

    async def copy_twice() -> tuple[list[str], str]:
        await copy_to_prefect()
        names = await copy_to_prefect()
        async with get_client() as client:
            documents = await client.read_block_documents(include_secrets=True)
        return names, json.dumps([d.model_dump(mode="json") for d in documents])

    names, documents = asyncio.run(copy_twice())

    assert "elasticsearch-search/search-prod" in names
    assert "sqlite-search/search-local" in names
    assert "slack-notify/notify-team" in names
    assert "http://127.0.0.1:9200" in documents
    assert "nobody-sees" not in documents
