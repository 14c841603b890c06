"""Where the warehouse is: BigQuery, or its embedded twin on DuckDB."""

from blocks.warehouse.bigquery import BigQueryWarehouse
from blocks.warehouse.contract import Warehouse
from blocks.warehouse.duckdb import DuckdbWarehouse

__all__ = ["BigQueryWarehouse", "DuckdbWarehouse", "Warehouse"]
