"""What the reference says, taken from the code itself: `make docs` writes docs/reference/."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OPENING = "<!-- derived from the code by `make docs`; do not edit -->\n"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |\n"

    return line(head) + line(("---",) * len(head)) + "".join(line(row) for row in rows)


def settings_page() -> str:
    """Every setting of the machine, its default and its meaning."""
    from roundsman.settings import Settings

    example = Settings(home=Path("/HOME"))

    def default(name: str) -> str:
        value = str(getattr(example, name)).replace("/HOME", "<home>")
        return value.replace(str(HERE.parent), "<checkout>")

    rows = [
        (
            f"`ROUNDSMAN_{name.upper()}`",
            "`~/.roundsman`" if name == "home" else f"`{default(name)}`",
            field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]
    return f"{OPENING}# Settings\n\n{_table(('variable', 'default', 'meaning'), rows)}"


def errors_page() -> str:
    """The tree of errors, with what a caller should do about each."""
    from roundsman import errors

    classes = [
        item
        for item in vars(errors).values()
        if inspect.isclass(item) and issubclass(item, errors.RoundsmanError)
    ]
    rows = [
        (f"`{c.__name__}`", f"`{c.wire_type}`", (inspect.getdoc(c) or "").splitlines()[0])
        for c in classes
    ]
    tree = (errors.__doc__ or "").partition("\n\n")[2]
    table = _table(("error", "type on the wire", "meaning"), rows)
    return f"{OPENING}# Errors\n\n```\n{tree}```\n\n{table}"


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    subcommands: dict[str, Any] = getattr(command, "commands", {})
    if not subcommands:
        yield path, command
    for name in sorted(subcommands):
        if not subcommands[name].hidden:
            yield from _commands(subcommands[name], f"{path} {name}")


def commands_page() -> str:
    """Every command with its arguments and options."""
    import typer.main

    from roundsman.cli.app import app

    page = f"{OPENING}# Commands\n"
    for path, command in _commands(typer.main.get_command(app), "roundsman"):
        page += f"\n## `{path}`\n\n{(command.help or '').strip()}\n"
        rows = [
            (
                "`" + (", ".join(p.opts) if p.opts[0].startswith("-") else p.name.upper()) + "`",
                (getattr(p, "help", None) or ""),
            )
            for p in command.params
            if p.name != "help"
        ]
        page += "\n" + _table(("argument or option", "meaning"), rows) if rows else ""
    return page


def agents_page() -> str:
    """Each agent's card: what it can do, its steps and its parameters."""
    cards = json.loads((HERE.parent / "roundsman/agents.json").read_text())
    page = f"{OPENING}# Agents\n"
    for card in cards:
        if card.get("operation"):
            continue
        page += f"\n## `{card['name']}` {card['version']}\n\n{card['description']}\n\n"
        page += f"Capabilities: {', '.join(f'`{c}`' for c in card['capabilities'])}.\n\n"
        page += f"Steps: {', '.join(f'`{s}`' for s in card['plan'])}.\n\n"
        page += _table(
            ("parameter", "default", "meaning"), list(_parameters(card["params_schema"]))
        )
    return page


def _parameters(schema: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    definitions = schema.get("$defs", {})

    def walk(part: dict[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
        for name, field in part.get("properties", {}).items():
            reference = field.get("$ref") or field.get("allOf", [{}])[0].get("$ref", "")
            if reference:
                yield from walk(definitions[reference.rsplit("/", 1)[-1]], f"{prefix}{name}.")
            else:
                default = json.dumps(field["default"]) if "default" in field else "required"
                yield f"`{prefix}{name}`", f"`{default}`", field.get("description", "")

    yield from walk(schema, "")


PAGES: dict[str, Callable[[], str]] = {
    "settings": settings_page,
    "errors": errors_page,
    "commands": commands_page,
    "agents": agents_page,
}


def main() -> None:
    """Write every page of the reference."""
    (HERE / "reference").mkdir(exist_ok=True)
    for name, render in PAGES.items():
        (HERE / "reference" / f"{name}.md").write_text(render())


if __name__ == "__main__":
    main()
