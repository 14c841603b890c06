"""Leaving the report behind: files in the artifact store, and a copy that Prefect's UI shows."""

from __future__ import annotations

import asyncio
import importlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, cast

import httpx
from prefect.artifacts import Artifact, LinkArtifact, MarkdownArtifact
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException

from roundsman.agent import Run, current, step
from roundsman.log import get_logger
from roundsman.rules.chart import draw_days
from roundsman.rules.messages import run_on
from roundsman.rules.redaction import redact
from roundsman.rules.report import Report, render_markdown
from roundsman.settings import get_settings

# Prefect's copy is a courtesy: a server that is slow must not hold up the run for longer.
PREFECT_SECONDS_MAX = 10.0
# Prefect's database is no file store: beyond this the copy ends with where the rest is.
PREFECT_CHARACTERS_MAX = 100_000

_log = get_logger(__name__, component="report")


class Written(NamedTuple):
    """The report's text, and its files by what they are."""

    markdown: str
    files: dict[str, str]


@step
def write_report(report: Report) -> Written:
    """Write Markdown, JSON and picture under one name; returns where they are."""
    run = current()
    stem = claim_stem(run, report.made_at)
    markdown = render_markdown(report)
    picture = _draw(report)
    contents: dict[str, str | bytes] = {
        "markdown": markdown,
        "json": json.dumps(report.artifacts(), indent=2, ensure_ascii=False),
        "picture": picture,
    }
    bitmap = _rasterize(picture)
    if bitmap is not None:
        contents["bitmap"] = bitmap
    endings = {"markdown": "md", "json": "json", "picture": "svg", "bitmap": "png"}
    files = {
        kind: str(run.write(f"{stem}.{endings[kind]}", content))
        for kind, content in contents.items()
    }
    return Written(markdown, files)


def claim_stem(run: Run, made_at: datetime) -> str:
    """A name by the second for whoever makes its file first; the run's id follows for others.

    Looking first and writing later would let two runs of one second overwrite each other.
    """
    stem = f"report_{made_at:%Y-%m-%d_%H%M%S}"
    place = run.artifacts.locate(f"{stem}.md", run.agent)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch(exist_ok=False)
    except OSError:
        # Taken; or a folder that is not writable, which the writing says in better words.
        return f"{stem}_{run.id[:8]}"
    return stem


async def copy_to_prefect(agent: str, written: Written) -> None:
    """The report and links to its files as Prefect artifacts; what fails here fails nothing."""
    context = FlowRunContext.get()
    if context is None:
        return
    key = f"{agent.replace('_', '-')}-report"
    text = str(redact(written.markdown))[:PREFECT_CHARACTERS_MAX]
    links = "\n".join(f"- {kind}: `{path}`" for kind, path in written.files.items())
    text = f"{text}\n## Files\n\n{links}\n"
    page, flow_run = get_settings().public_url, context.flow_run
    if page is not None and flow_run is not None:
        text += f"\n[This run in Roundsman]({run_on(page, str(flow_run.id))})\n"
    made: list[Artifact] = [MarkdownArtifact(key=key, description="The report", markdown=text)]
    for kind, path in written.files.items():
        uri = Path(path).as_uri()
        link = LinkArtifact(key=f"{key}-{kind}", description=path, link=uri, link_text=kind)
        made.append(link)
    try:
        async with asyncio.timeout(PREFECT_SECONDS_MAX):
            await asyncio.gather(*(artifact.acreate() for artifact in made))
    except (PrefectException, httpx.HTTPError, TimeoutError, OSError) as error:
        said = f"{type(error).__name__}: {error}"
        _log.warning("Prefect did not take the report's copy", metadata={"said": said})


def _draw(report: Report) -> str:
    window, systems = report.window, report.systems
    title = f"warehouse_health {report.summary.status}, rows per day ({window.zone})"
    names = (f"search {systems['search']}", f"warehouse {systems['warehouse']}")
    return draw_days(report.found.parity.daily_breakdown, title, names)


def _rasterize(picture: str) -> bytes | None:
    """The picture as PNG where the extra 'charts' is installed."""
    try:
        resvg: Any = importlib.import_module("resvg_py")
    except ImportError:
        return None
    return bytes(cast("bytes", resvg.svg_to_bytes(svg_string=picture)))
