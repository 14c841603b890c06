"""`roundsman keys`: who may come in by the API, and what for."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roundsman.cli.complaint import Doors, Json, Quick, print_json
from roundsman.errors import Mistake

if TYPE_CHECKING:
    from roundsman.store.keys import ApiKey

UNITS = {"h": "hours", "d": "days", "w": "weeks"}
DIGITS_MAX = 4

keys = typer.Typer(
    cls=Doors,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Keys to the API: made, listed, revoked.",
)


@keys.command("create", cls=Quick)
def create_key(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Whose it is, as records show it: an e-mail.")
    ],
    permission: Annotated[
        list[str],
        typer.Option("--permission", "-p", help="read, write, approve or admin; once for each."),
    ],
    expires: Annotated[
        str | None, typer.Option(metavar="90d", help="After so long: h, d or w; unset: never.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key and print its secret, this once: it is kept nowhere."""
    from roundsman.cli.ledger import open_memory
    from roundsman.cli.start import who
    from roundsman.store import keys as kept

    end = _end(expires, datetime.now(UTC))
    memory = open_memory()
    wanted = kept.NewKey(name, tuple(permission), end, who(memory.settings))
    key, secret = kept.create_key(memory.ledger, memory.org, wanted)
    if as_json:
        print_json(_document(key) | {"org": memory.org, "key": secret})
        return
    until = f" until {end:%Y-%m-%d %H:%M} UTC" if end else ""
    typer.echo(f"key {key.key_id} of '{key.name}' may {', '.join(key.permissions)}{until}")
    typer.echo("keep it, nobody can tell it again; send it as  Authorization: Bearer", err=True)
    typer.echo(secret)


@keys.command("list", cls=Quick)
def list_keys(as_json: Json = False) -> None:
    """List the org's keys, those that open nothing any more too."""
    from roundsman.cli.ledger import open_memory
    from roundsman.cli.present import table
    from roundsman.store import keys as kept

    memory = open_memory()
    found = kept.list_keys(memory.ledger, memory.org)
    if as_json:
        print_json({"keys": [_document(key) for key in found]})
        return
    if not found:
        typer.echo("No keys: on this machine the API is open for reading and for dry runs.")
        return
    columns = ("ID", "NAME", "MAY", "ENDS IN", "MADE", "BY", "STATE")
    table(
        columns,
        (
            (
                key.key_id,
                key.name,
                " ".join(key.permissions),
                key.last_four,
                key.created_at,
                key.created_by,
                _state(key, datetime.now(UTC)),
            )
            for key in found
        ),
        cut="NAME",
    )


@keys.command("revoke", cls=Quick)
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="See `roundsman keys list`.")],
    as_json: Json = False,
) -> None:
    """Let a key open nothing any more, from its next request on."""
    from roundsman.cli.ledger import open_memory
    from roundsman.cli.start import who
    from roundsman.store import keys as kept

    memory = open_memory()
    key = kept.revoke_key(memory.ledger, memory.org, key_id, who(memory.settings))
    if as_json:
        print_json(_document(key))
    else:
        typer.echo(f"key {key.key_id} of '{key.name}' opens nothing any more")


def _end(length: str | None, now: datetime) -> datetime | None:
    if length is None:
        return None
    parts = re.fullmatch(rf"(\d{{1,{DIGITS_MAX}}})([hdw])", length.strip())
    if parts is None:
        raise Mistake(f"--expires '{length}' is no length of time", "write 12h, 90d or 52w")
    return now + timedelta(**{UNITS[parts[2]]: int(parts[1])})


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return f"revoked by {key.revoked_by}"
    if key.expires_at is None:
        return "good"
    word = "expired" if key.expires_at <= now else "good until"
    return f"{word} {key.expires_at:%Y-%m-%d}"


def _document(key: ApiKey) -> dict[str, Any]:
    return key.model_dump(mode="json")
