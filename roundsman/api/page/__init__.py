"""Which files make up the page in the browser, and what a browser may do with them."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from roundsman.errors import Mistake

FOLDER = Path(__file__).parent
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Whatever an agent wrote into a name or a report, nothing of it can run or call home.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache", "Vary": "Accept"}

router = APIRouter(include_in_schema=False)


@router.get("/page/{name}")
def read_file(name: str) -> FileResponse:
    """Give out one of the page's own files."""
    return send(name)


def send(name: str) -> FileResponse:
    """One of the page's files. Raises Mistake for a name that is none of them."""
    known = {path.name: path for path in FOLDER.iterdir() if path.suffix in MEDIA_TYPES}
    if name not in known:
        raise Mistake(f"the page has no file '{name[:100]}'", "see /", status=404)
    path = known[name]
    return FileResponse(path, media_type=MEDIA_TYPES[path.suffix], headers=HEADERS)
