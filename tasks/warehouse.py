"""What may be tried again with the warehouse beyond the contract of all datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blocks.warehouse import Warehouse
from roundsman.agent import step


@step
def select_from_warehouse(
    warehouse: Warehouse, sql: str, parameters: Mapping[str, Any], maximum_rows: int
) -> list[dict[str, Any]]:
    """The rows of one SELECT in GoogleSQL; Refused where there are more than the maximum."""
    return warehouse.select(sql, parameters, maximum_rows)
