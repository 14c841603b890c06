"""The terminal's door: `roundsman`, one command for each thing a person may ask."""

from __future__ import annotations


def main() -> None:
    """Run the command that was typed and end the process with its exit code."""
    from roundsman.cli.app import app

    app(prog_name="roundsman")
