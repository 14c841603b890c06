"""Where the transformation is: a dbt project, run in a process of its own."""

from blocks.transform.contract import Transform
from blocks.transform.dbt import DbtTransform

__all__ = ["DbtTransform", "Transform"]
