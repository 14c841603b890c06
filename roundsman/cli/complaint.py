"""How an error leaves the door: one sentence on stderr, and an exit code that says whose it is."""

from __future__ import annotations

import errno
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from roundsman.cli.present import near
from roundsman.errors import BudgetSpent, Cancelled, Denied, Fenced, Mistake, RoundsmanError

FAILED = 1
MISTAKEN = 2
BY_VERDICT = 3
STOPPED = 130

_UNREAD = "process_given"
# Whether --json is among the words; known before they are read, for one of them may be wrong.
_json_wanted: list[bool] = []
# What was typed after --home and --remote; a hint without it would lead to another ledger.
_places_given: list[str] = []
# The API that is asked instead of this machine; read here, for settings take long to load.
_remote: list[str] = []
_COMMAND = re.compile(r"\broundsman (?=[a-z])")
# What Typer raises for wrong words; it exports only this child of it.
Usage = cast("type[Exception]", typer.BadParameter.__base__)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def exit_code(error: RoundsmanError) -> int:
    """2 for the user's mistake and for what policy denies them, 130 for a cancelled run, else 1."""
    if isinstance(error, Cancelled):
        return STOPPED
    # A budget that is spent, or a lease that is lost, is how something failed.
    is_no = isinstance(error, Denied) and not isinstance(error, BudgetSpent | Fenced)
    return MISTAKEN if isinstance(error, Mistake) or is_no else FAILED


def complain(error: RoundsmanError, **more: Any) -> None:
    """Print the sentence on stderr, and on stdout the JSON document if one was asked for."""
    from roundsman.rules.plain_text import harmless

    # It may repeat what a system or a stranger wrote.
    said = harmless(with_home(str(error)))
    typer.echo(said, err=True)
    if _json_wanted:
        print_json({**more, "error": said, "type": error.wire_type})


def with_home(said: str) -> str:
    """A sentence whose commands work as typed: with this command's `--home` and `--remote`."""
    if not _places_given:
        return said
    # The words are no pattern: a backslash in them stays one.
    return _COMMAND.sub(lambda _: f"roundsman {' '.join(_places_given)} ", said)


def remote_url() -> str | None:
    """The address of `--remote`, or of ROUNDSMAN_REMOTE."""
    return _remote[0] if _remote else None


def hint(said: str) -> None:
    """Print a line that says what to type next."""
    from roundsman.rules.plain_text import harmless

    typer.echo(harmless(with_home(said)))


def print_json(document: Any) -> None:
    """Print one JSON document; times as ISO-8601, unknown kinds as text."""
    import json

    from roundsman.rules.plain_text import harmless_json

    typer.echo(harmless_json(json.dumps(document, ensure_ascii=False, indent=2, default=_plain)))


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    isoformat = getattr(value, "isoformat", None)
    return isoformat().replace("+00:00", "Z") if isoformat is not None else str(value)


def _from_system(error: OSError) -> RoundsmanError:
    where = f" '{error.filename}'" if error.filename else ""
    said = f"{error.strerror or type(error).__name__}{where}"
    if error.errno == errno.EEXIST:
        said = f"folder{where} could not be made: {error.strerror}"
    remedies = {
        errno.ENOSPC: "free some disk space",
        errno.EACCES: "make it readable and writable for you, or choose another --home",
        errno.ENOENT: "check the path",
        errno.ENOTDIR: "a part of the path is a file; choose another --home",
        errno.EROFS: "choose another --home",
        errno.EEXIST: "make it writable or set ROUNDSMAN_HOME",
    }
    mistaken = (errno.ENOENT, errno.ENOTDIR, errno.EEXIST)
    kind = Mistake if error.errno in mistaken else RoundsmanError
    return kind(said, remedies.get(error.errno or 0, "run `roundsman doctor`"))


def _tell_misuse(error: Any) -> None:
    """Typer writes what was typed wrongly to stderr by itself; where JSON is wanted, so do we."""
    if _json_wanted:
        print_json({"error": error.format_message(), "type": Mistake.wire_type})


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


def _named(option: Any) -> Any:
    """Help names what is to be typed; Typer would print the Python type of it."""
    if option.param_type_name == "argument":
        option.display_type_rich = _no_type
    elif option.metavar is None and not option.is_flag:
        long = max(option.opts, key=len).lstrip("-")
        option.metavar = "N" if "int" in option.bare_type() else long.replace("-", "_").upper()
    return option


def _no_type(ctx: Any) -> None:
    return None


class Quick(TyperCommand):
    """A command that does not load what it does not need."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The command's parameters; those that were not given are not read."""
        return [_leave_unread(_named(option)) for option in super().get_params(ctx)]

    def invoke(self, ctx: Any) -> Any:
        """Run the command, if it is one that the machine that is meant can be asked."""
        from roundsman.cli.remote import check_command

        check_command(" ".join(ctx.command_path.split()[1:]))
        return super().invoke(ctx)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The usage line's words, without the braces that Typer puts around an argument."""
        return [re.sub("[{}]", "", piece) for piece in super().collect_usage_pieces(ctx)]


class Doors(TyperGroup):
    """A group of commands that turns our errors into sentences and knows its own names."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The group's parameters; those that were not given are not read."""
        return [_leave_unread(_named(option)) for option in super().get_params(ctx)]

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        """Read the group's own words; the outermost group sees whether JSON is wanted."""
        if parent is None:
            _json_wanted[:] = [True] if "--json" in args else []
            _places_given.clear()
            _remote.clear()
        try:
            return super().make_context(info_name, args, parent, **extra)
        except Usage as error:
            if parent is None:
                _tell_misuse(error)
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the command; no error of ours leaves as a traceback."""
        if ctx.parent is None:
            _remote[:] = [ctx.params["_remote"]] if ctx.params.get("_remote") else []
            _places_given[:] = _typed_places(ctx.params)
        try:
            return super().invoke(ctx)
        except RoundsmanError as error:
            complain(error)
            raise typer.Exit(exit_code(error)) from error
        except Usage as error:
            if ctx.parent is None:
                _tell_misuse(error)
            raise
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


def _typed_places(typed: Mapping[str, Any]) -> list[str]:
    home, remote = typed.get("home"), remote_url()
    words = [f"--home {shlex.quote(near(home))}"] if home else []
    return [*words, f"--remote {shlex.quote(remote)}"] if remote else words


def unknown(what: str, name: str, known: Sequence[str]) -> Mistake:
    """The mistake of a wrong name: it says which names there are."""
    return Mistake(f"unknown {what} '{name}'", f"known are {', '.join(known) or 'none yet'}")
