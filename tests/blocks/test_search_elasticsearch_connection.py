"""How Elasticsearch is reached: addresses, cloud ids, certificates and secrets."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from blocks.search import ElasticsearchSearch
from roundsman.errors import Mistake, Refused, Unready
from roundsman.rules.windows import Bucket
from tests.blocks.wire import (
    CAPS,
    COUNTED,
    DATA,
    DAY,
    PRODUCT,
    count_in,
    search_at,
)
from tests.servers.scripted import Reply, Scripted


def test_cloud_ids_are_resolved_to_the_deployment() -> None:
    hidden = base64.b64encode(b"cluster.invalid:9243$deadbeef$kibana").decode()
    search = ElasticsearchSearch.model_validate({"cloud_id": f"prod:{hidden}"})

    with pytest.raises(Unready, match=r"deadbeef\.cluster\.invalid"):
        search.newest(DATA)


def test_a_broken_cloud_id_is_a_mistake() -> None:
    with pytest.raises(Mistake, match="(?i)cloud"):
        ElasticsearchSearch(cloud_id="nonsense").newest(DATA)


def test_a_server_is_trusted_by_its_ca_file_and_by_nothing_else(
    scripted: Callable[..., Scripted], tls: ssl.SSLContext, certificate: Path, tmp_path: Path
) -> None:
    server = scripted(headers=PRODUCT, tls=tls).on("POST", "/_field_caps", Reply(CAPS))
    server.on("POST", "/_search", Reply(COUNTED))

    assert count_in(search_at(server, ca_file=certificate)) == [Bucket(DAY, 3, 7)]
    with pytest.raises(Refused, match=r"was not trusted.*set 'ca_file'"):
        count_in(search_at(server))
    with pytest.raises(Mistake, match=r"ca_file .* does not exist"):
        count_in(search_at(server, ca_file=tmp_path / "missing.pem"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "exactly one of 'url' and 'cloud_id'"),
        ({"url": "http://a:1", "cloud_id": "b"}, "exactly one of 'url' and 'cloud_id'"),
        ({"url": "a:9200"}, "http://host:9200"),
        ({"url": "http://me:secret@a:9200"}, "leave user and password out"),
        ({"url": "http://a:1", "username": "me"}, "'username' and 'password' together"),
        ({"url": "http://a:1", "api_key": "k", "username": "m", "password": "p"}, "not both"),
    ],
    ids=str,
)
def test_a_configuration_that_contradicts_itself_is_refused(
    options: dict[str, str], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        ElasticsearchSearch.model_validate(options)


@pytest.mark.parametrize(
    ("url", "complete"),
    [
        ("http://a", "http://a:9200"),
        ("https://a.example/es", "https://a.example:443/es"),
        ("https://a:9243", "https://a:9243"),
    ],
)
def test_a_port_may_be_left_out(url: str, complete: str) -> None:
    assert ElasticsearchSearch(url=url).url == complete


def test_secrets_are_never_shown() -> None:
    search = ElasticsearchSearch.model_validate({"url": "http://a:1", "api_key": "c2VjcmV0"})

    assert "c2VjcmV0" not in repr(search)
    assert "c2VjcmV0" not in json.dumps(search.model_dump(mode="json"))
