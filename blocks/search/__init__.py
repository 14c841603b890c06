"""Where the searchable copy of the data is: Elasticsearch, or its embedded twin on SQLite."""

from blocks.search.contract import Search
from blocks.search.elasticsearch import ElasticsearchSearch
from blocks.search.sqlite import SqliteSearch

__all__ = ["ElasticsearchSearch", "Search", "SqliteSearch"]
