"""Which commands there are, and what holds for all of them.

Nothing heavy is imported here or at the top of a command's file: `--help` must be quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roundsman.cli import (
    actions,
    agents,
    approvals,
    findings,
    keeping,
    keys,
    machine,
    mail,
    policy,
    record,
    runs,
    serve,
)
from roundsman.cli.complaint import Doors, Quick

app = typer.Typer(
    cls=Doors,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Agents that make the rounds of a data platform: they look, judge, act and tell.",
    epilog="Exit codes: 0 success, 1 failed, 2 refused or mistaken, 3 by --fail-on, 130 cancelled.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"roundsman {version('roundsman')}")
        raise typer.Exit


@app.callback()
def everywhere(
    _remote: Annotated[
        str | None,
        typer.Option(
            "--remote",
            metavar="URL",
            envvar="ROUNDSMAN_REMOTE",
            show_envvar=False,
            help="Ask the API at this address (default ROUNDSMAN_REMOTE), with ROUNDSMAN_API_KEY.",
        ),
    ] = None,
    home: Annotated[
        Path | None, typer.Option("--home", help="The folder of it all (default ~/.roundsman).")
    ] = None,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and end.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Agents that make the rounds of a data platform: they look, judge, act and tell."""
    if home is not None:
        from roundsman.settings import choose_home

        choose_home(home)


app.command("agents", cls=Quick)(agents.list_agents)
app.command("run", cls=Quick)(runs.run)
app.command("watch", cls=Quick)(runs.watch)
app.command("cancel", cls=Quick)(runs.cancel)
app.command("retry", cls=Quick)(runs.retry)
app.command("serve", cls=Quick)(serve.serve)
app.add_typer(keys.keys, name="keys")
app.add_typer(approvals.approvals, name="approvals")
app.add_typer(actions.actions, name="actions")
app.command("undo", cls=Quick)(actions.undo)
app.add_typer(findings.findings, name="findings")
app.add_typer(policy.policy, name="policy")
app.command("history", cls=Quick)(record.history)
app.command("show", cls=Quick)(record.show)
app.add_typer(keeping.artifacts, name="artifacts")
app.command("verify-audit", cls=Quick)(keeping.verify_audit)
app.command("erase", cls=Quick)(keeping.erase)
app.command("migrate", cls=Quick)(keeping.migrate)
app.command("init", cls=Quick)(machine.init)
app.command("doctor", cls=Quick)(machine.doctor)
importing = typer.Typer(
    cls=Doors, no_args_is_help=True, rich_markup_mode=None, help="Bring real data in."
)
importing.command("mail", cls=Quick)(mail.import_mail)
app.add_typer(importing, name="import")
app.command("demo", cls=Quick, hidden=True)(machine.demo)
