"""`make demo`, `make up` and `make down`: the sample company, one agent's round, its server.

`python -m roundsman.demo [run|up|down] [HOME]`
"""

from __future__ import annotations

import sys
from pathlib import Path

from roundsman.demo.words import say
from roundsman.errors import Mistake, RoundsmanError
from roundsman.settings import Settings, choose_home, get_settings

CHECKOUT = Path(__file__).parents[2]
HOME = CHECKOUT / ".roundsman" / "demo"
ACTIONS = ("run", "up", "down")


def act(action: str = "run", home: Path = HOME) -> int:
    """Do one of run, up and down in the demo's home; returns the exit code."""
    if action not in ACTIONS:
        raise Mistake(f"unknown action '{action}'", f"known are {', '.join(ACTIONS)}")
    choose_home(home)
    settings = get_settings()
    if action == "up":
        return _up(settings)
    if action == "down":
        return _down(settings)
    from roundsman.demo.show import show

    return show(settings)


def _up(settings: Settings) -> int:
    from roundsman.demo.server import running_server, start_server

    there = running_server(settings)
    if there:
        say(f"Prefect runs already, with its UI, at {there.ui} (process {there.pid})")
        return 0
    say("starting a Prefect server ...")
    server = start_server(settings, usual_port=True)
    say(f"Prefect runs, with its UI, at {server.ui} (process {server.pid})")
    say("runs of the demo's home use it; stop it: make down")
    return 0


def _down(settings: Settings) -> int:
    from roundsman.demo.server import stop_server

    stopped = stop_server(settings)
    say(f"stopped the server at {stopped.ui}" if stopped else "no server of the demo's home runs")
    return 0


def main() -> int:
    """Act as typed; one sentence on stderr where it cannot be done."""
    try:
        action = sys.argv[1] if len(sys.argv) > 1 else "run"
        home = Path(sys.argv[2]).absolute() if len(sys.argv) > 2 else HOME
        return act(action, home)
    except RoundsmanError as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, Mistake) else 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
