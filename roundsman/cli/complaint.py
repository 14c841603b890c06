"""How an error leaves the door: one sentence on stderr, and an exit code that says whose it is."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from roundsman.errors import Cancelled, Mistake, RoundsmanError

FAILED = 1
MISTAKEN = 2
BY_VERDICT = 3
STOPPED = 130

_UNREAD = "process_given"
_json_wanted: list[bool] = []


def _note_json(wanted: bool) -> bool:
    if wanted:
        _json_wanted.append(True)
    return wanted


Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document and nothing else.", callback=_note_json),
]


def exit_code(error: RoundsmanError) -> int:
    """2 for the user's mistake, 130 for a cancelled run, else 1."""
    if isinstance(error, Mistake):
        return MISTAKEN
    return STOPPED if isinstance(error, Cancelled) else FAILED


def complain(error: RoundsmanError, **more: Any) -> None:
    """Print the sentence on stderr, and on stdout the JSON document if one was asked for."""
    typer.echo(str(error), err=True)
    if _json_wanted:
        print_json({**more, "error": str(error), "type": error.wire_type})


def print_json(document: Any) -> None:
    """Print one JSON document; times as ISO-8601, unknown kinds as text."""
    import json

    typer.echo(json.dumps(document, ensure_ascii=False, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    isoformat = getattr(value, "isoformat", None)
    return isoformat().replace("+00:00", "Z") if isoformat is not None else str(value)


def _from_system(error: OSError) -> RoundsmanError:
    where = f" '{error.filename}'" if error.filename else ""
    said = f"{error.strerror or type(error).__name__}{where}"
    remedies = {
        errno.ENOSPC: "free some disk space",
        errno.EACCES: "make it readable and writable for you, or choose another --home",
        errno.ENOENT: "check the path",
        errno.ENOTDIR: "a part of the path is a file; choose another --home",
        errno.EROFS: "choose another --home",
    }
    kind = Mistake if error.errno in (errno.ENOENT, errno.ENOTDIR) else RoundsmanError
    return kind(said, remedies.get(error.errno or 0, "run `roundsman doctor`"))


def _leave_unread(option: Any) -> Any:
    """Typer loads pydantic even to read an option that was not given, which takes 70 ms."""
    read = option.process_value
    if read.__name__ == _UNREAD:
        return option

    def process_given(ctx: Any, value: Any) -> Any:
        if value is not None or option.required or option.multiple or option.nargs == -1:
            return read(ctx, value)
        return option.callback(ctx, option, value) if option.callback else None

    option.process_value = process_given
    return option


class Quick(TyperCommand):
    """A command that does not load what it does not need."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The command's parameters; those that were not given are not read."""
        return [_leave_unread(option) for option in super().get_params(ctx)]


class Doors(TyperGroup):
    """A group of commands that turns our errors into sentences and knows its own names."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The group's parameters; those that were not given are not read."""
        return [_leave_unread(option) for option in super().get_params(ctx)]

    def invoke(self, ctx: Any) -> Any:
        """Run the command; no error of ours leaves as a traceback."""
        if ctx.parent is None:
            _json_wanted.clear()
        try:
            return super().invoke(ctx)
        except RoundsmanError as error:
            complain(error)
            raise typer.Exit(exit_code(error)) from error
        except BrokenPipeError:
            sys.stderr.close()
            raise typer.Exit(FAILED) from None
        except OSError as error:
            ours = _from_system(error)
            complain(ours)
            raise typer.Exit(exit_code(ours)) from error

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; a wrong name lists the known ones."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in self.commands:
            raise unknown("command", name, [n for n, c in self.commands.items() if not c.hidden])
        return super().resolve_command(ctx, args)


def unknown(what: str, name: str, known: Sequence[str]) -> Mistake:
    """The mistake of a wrong name: it says which names there are."""
    return Mistake(f"unknown {what} '{name}'", f"known are {', '.join(known) or 'none yet'}")
