"""No server can make a block read without an end, whatever it says of its answer's length."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from itertools import repeat

import pytest

from blocks.bounds import ANSWER_BYTES_MAX
from blocks.warehouse import BigQueryWarehouse
from roundsman.errors import Misread
from roundsman.rules.windows import Dataset
from tests.blocks.wire import COUNTED, count_in, search_at
from tests.servers.scripted import CHUNKS_MAX, Reply, Scripted
from tests.servers.scripted_bigquery import PROJECT, Script, table

MIB = 1024 * 1024
ORDERS = Dataset(name="shop.orders", time_field="received_at", key_field="id")
LIMIT = rf"more than {ANSWER_BYTES_MAX} bytes \(ANSWER_BYTES_MAX\)"


def too_much() -> dict[str, Reply]:
    """Answers beyond the limit: counted, without an end, and small until they are unpacked."""
    spaces = b" " * (ANSWER_BYTES_MAX + 1)
    packed = Reply(gzip.compress(spaces, 1), headers={"Content-Encoding": "gzip"})
    return {"counted": Reply(spaces), "endless": Reply(repeat(b" " * MIB)), "packed": packed}


@pytest.mark.parametrize("kind", ["counted", "endless", "packed"])
def test_a_search_that_answers_too_much_is_misread_and_hung_up_on(
    server: Scripted, kind: str
) -> None:
    server.on("POST", "/_search", too_much()[kind])

    with pytest.raises(Misread, match=LIMIT) as misread:
        count_in(search_at(server))

    assert "'mails-*'" in misread.value.said
    assert misread.value.remedy
    assert len(server.asked("/_search")) == 1
    assert server.chunks_sent < CHUNKS_MAX


@pytest.mark.parametrize("kind", ["counted", "endless", "packed"])
def test_a_warehouse_that_answers_too_much_is_misread_and_hung_up_on(
    scripted: Callable[..., Scripted], kind: str
) -> None:
    server = scripted().on("GET", "/tables/orders", too_much()[kind])

    with pytest.raises(Misread, match=LIMIT) as misread:
        BigQueryWarehouse(project=PROJECT, api_endpoint=server.url).newest(ORDERS)

    assert "'shop.orders'" in misread.value.said
    assert len(server.requests) == 1
    assert server.chunks_sent < CHUNKS_MAX


def test_an_answer_in_chunks_or_packed_is_read_to_its_end(server: Scripted) -> None:
    whole = Reply(COUNTED).raw()
    parts = iter([whole[:7], whole[7:]])
    packed = Reply(gzip.compress(whole), headers={"Content-Encoding": "gzip"})
    server.on("POST", "/_search", Reply(parts), packed)

    assert count_in(search_at(server)) == count_in(search_at(server))


def test_a_warehouse_s_answer_in_chunks_is_read_to_its_end(
    scripted: Callable[..., Scripted],
) -> None:
    whole = Reply(table()).raw()
    server = scripted().on("GET", "/tables/orders", Reply(iter([whole[:9], whole[9:]])))

    found = BigQueryWarehouse(project=PROJECT, api_endpoint=server.url).fields(ORDERS)

    assert found == BigQueryWarehouse(
        project=PROJECT, api_endpoint=scripted(Script().answer).url
    ).fields(ORDERS)
