"""How documents of the twin are found by their words."""

from __future__ import annotations

import json
import re
import sqlite3
from typing import Any

from blocks.search.sqlite_tables import Index
from roundsman.errors import Refused

WORDS_MAX = 64


def find_documents(
    connection: sqlite3.Connection, indices: list[Index], text: str, limit: int
) -> list[dict[str, Any]]:
    """The documents that hold every word of the text, best match first."""
    searchable = [index for index in indices if index.of_type("text")]
    if not searchable:
        raise Refused(
            f"search '{','.join(index.name for index in indices)}' has no text field",
            "map a field as text and import again",
        )
    words = re.findall(r"\w+", text)[:WORDS_MAX]
    if not words:
        return []
    query = " AND ".join(f'"{word}"' for word in words)
    found: list[tuple[float, dict[str, Any]]] = []
    for index in searchable:
        found += _find_in(connection, index, query, limit)
    found.sort(key=lambda hit: hit[0])
    return [document for _, document in found[:limit]]


def _find_in(
    connection: sqlite3.Connection, index: Index, query: str, limit: int
) -> list[tuple[float, dict[str, Any]]]:
    texts = index.of_type("text")
    columns = "".join(f", s.{index.column(field)}" for field in texts)
    rows = connection.execute(
        f"SELECT w.rank, s.source{columns} FROM {index.words} w "
        f"JOIN {index.sources} s ON s.row_id = w.rowid "
        f"WHERE {index.words} MATCH ? ORDER BY w.rank LIMIT ?",
        (query, limit),
    )
    return [
        (float(rank), {**json.loads(source), **dict(zip(texts, values, strict=True))})
        for rank, source, *values in rows
    ]
