"""The files that agents wrote: listed, and given out so that no browser runs what is in them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse
from pydantic import Field

from roundsman.api.access import Caller, Reader
from roundsman.api.problems import answered, documented, example
from roundsman.api.words import Body, Word
from roundsman.errors import Mistake
from roundsman.store.artifacts import ArtifactEntry, ArtifactStore

LISTED_DEFAULT = 1_000
LISTED_MAX = 10_000
# Anything else is bytes to a browser: what agents write is not ours to run.
MEDIA_TYPES = {
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
SAFE = {"Content-Security-Policy": "default-src 'none'; sandbox"}

_FILE = {
    "path": "report_2025-10-17_103045.md",
    "bytes": 2048,
    "modified": "2025-10-17T10:30:45Z",
    "url": "/agents/artifacts/warehouse_health/report_2025-10-17_103045.md",
}

router = APIRouter(prefix="/agents/artifacts/{agent}", tags=["artifacts"])


class Wanted(Body):
    """Which files: `*` matches names at the top, `**/*` at any depth."""

    pattern: Word = "*"
    limit: int = Field(default=LISTED_DEFAULT, ge=1, le=LISTED_MAX)


@router.get(
    "",
    responses=example({"agent": "warehouse_health", "files": [_FILE], "total": 1})
    | documented(401, 403, 404, 422),
)
def list_artifacts(caller: Reader, agent: Word, wanted: Annotated[Wanted, Query()]) -> Any:
    """List an agent's files by name; `total` counts those that match."""
    with answered(404):
        _store(caller).list_files(agent, "-")
    found = _matching(_store(caller), agent, wanted.pattern)
    files = [_entry(agent, one) for one in found[: wanted.limit]]
    return {"agent": agent, "files": files, "total": len(found)}


@router.get(
    "/{file:path}",
    response_class=FileResponse,
    responses={
        200: {
            "description": "The file",
            "content": {"text/markdown": {"example": "# Warehouse health\n"}},
        }
    }
    | documented(401, 403, 404, 422),
)
def download_artifact(caller: Reader, agent: Word, file: Word) -> FileResponse:
    """Give out one file as it was written."""
    with answered(404):
        path = _store(caller).locate(file, agent)
    if not path.is_file():
        remedy = f"see /agents/artifacts/{agent}"
        raise Mistake(f"artifact '{file}' of '{agent}' does not exist", remedy, status=404)
    kind = MEDIA_TYPES.get(PurePosixPath(file).suffix.lower(), "application/octet-stream")
    return FileResponse(path, media_type=kind, filename=path.name, headers=SAFE)


def _matching(store: ArtifactStore, agent: str, pattern: str) -> list[ArtifactEntry]:
    said, remedy = f"pattern '{pattern}' cannot be read", "write it as *.json or **/*.md"
    # Each further ** would multiply the folders that are walked through.
    if not PurePosixPath(pattern).parts or pattern.count("**") > 1:
        raise Mistake(said, remedy)
    try:
        return store.entries(agent, pattern)
    except (ValueError, NotImplementedError, re.error) as error:
        raise Mistake(f"{said}: {error}", remedy) from error


def _store(caller: Caller) -> ArtifactStore:
    return ArtifactStore(caller.settings.artifacts, caller.org)


def _entry(agent: str, one: ArtifactEntry) -> dict[str, Any]:
    at = datetime.fromtimestamp(one.modified, UTC).isoformat(timespec="seconds")
    return {
        "path": one.path,
        "bytes": one.bytes,
        "modified": at.replace("+00:00", "Z"),
        "url": f"/agents/artifacts/{quote(agent)}/{quote(one.path)}",
    }
