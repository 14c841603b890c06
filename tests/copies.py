"""A copy of the product in a folder of its own, for tests that add to it or let it die."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ("roundsman", "flows", "tasks", "blocks", "prefect.yaml")


def copy_repository(target: Path) -> Path:
    """Copy what an agent needs to run; the copy wins over the installed one by PYTHONPATH."""
    for part in PARTS:
        source = ROOT / part
        if not source.exists():
            continue
        place = target / part
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, place)
    return target


def environment(copy: Path, home: Path, **more: str) -> dict[str, str]:
    """Variables with which a process works on the copy and in a home of its own."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "ROUNDSMAN_"))}
    return ours | {
        "PYTHONPATH": str(copy),
        "PYTHONDONTWRITEBYTECODE": "",
        "ROUNDSMAN_HOME": str(home),
        "ROUNDSMAN_ROUNDS": str(copy / "prefect.yaml"),
        **more,
    }


def derive_cards(copy: Path, variables: dict[str, str]) -> None:
    """Run the command that derives the copy's agents.json."""
    subprocess.run(
        [sys.executable, "-P", "-m", "roundsman.catalog"],
        env=variables,
        cwd=copy,
        check=True,
        capture_output=True,
        timeout=120,
    )
