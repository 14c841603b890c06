"""`roundsman init` and `doctor`: the first file, and whether this machine is ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from roundsman.cli.complaint import FAILED, Json, print_json
from roundsman.cli.present import count

if TYPE_CHECKING:
    from roundsman.cli.doctor import Check

MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "problem": ("PROBLEM", "red")}


def init(as_json: Json = False) -> None:
    """Write a commented systems.yaml; one that is there is never touched."""
    from roundsman.cli.first_file import SYSTEMS
    from roundsman.settings import get_settings

    path = get_settings().systems
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(SYSTEMS)
        wrote = True
    except FileExistsError:
        wrote = False
    if as_json:
        print_json({"systems": str(path), "written": wrote})
        return
    typer.echo(f"wrote {path}" if wrote else f"{path} is there already; it was left as it is")
    typer.echo("next: name your systems in it, then  roundsman doctor")


def doctor(
    as_json: Json = False,
    systems: Annotated[bool, typer.Option(help="Also ask the configured systems.")] = True,
) -> None:
    """Look at settings, ledger, Prefect and systems; say what is missing and how to mend it."""
    from roundsman.cli.doctor import look_at_systems, look_here
    from roundsman.settings import get_settings

    settings = get_settings()
    found: list[Check] = []
    for check in look_here(settings):
        _say(check, found, as_json)
    if systems and not any(check.name == "systems" and check.state == "problem" for check in found):
        if not as_json:
            typer.echo("asking the systems ...")
        for check in look_at_systems(settings):
            _say(check, found, as_json)
    problems = sum(check.state == "problem" for check in found)
    if as_json:
        print_json({"ok": not problems, "checks": [check._asdict() for check in found]})
    else:
        _count(found, problems)
    if problems:
        raise typer.Exit(FAILED)


def _say(check: Check, found: list[Check], quiet: bool) -> None:
    found.append(check)
    if quiet:
        return
    word, colour = MARKS[check.state]
    mark = typer.style(f"{word:<8}", fg=colour)
    typer.echo(f"{mark} {check.name:<16} {check.said}")
    if check.remedy:
        typer.echo(f"{'':<8} {'':<16} -> {check.remedy}")


def _count(found: list[Check], problems: int) -> None:
    warnings = sum(check.state == "warning" for check in found)
    words = "all is well" if not problems else f"{problems} to be mended"
    typer.echo(f"{count(len(found), 'check')}, {count(warnings, 'warning')}: {words}")


def demo(
    action: Annotated[str, typer.Argument(help="run, up or down.")] = "run",
) -> None:
    """Found the sample company and run an agent on it; the same as `make demo`, `up`, `down`."""
    from roundsman.demo.__main__ import act

    raise typer.Exit(act(action))
