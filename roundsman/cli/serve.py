"""`roundsman serve`: the API, until it is told to end."""

from __future__ import annotations

from typing import Annotated

import typer

from roundsman.errors import Mistake


def serve(
    host: Annotated[
        str | None, typer.Option(help="Where to listen (default ROUNDSMAN_API_HOST: 127.0.0.1).")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="Which port (default ROUNDSMAN_API_PORT: 8080)."),
    ] = None,
) -> None:
    """Serve the API; ends at Ctrl-C or SIGTERM, and leaves the runs it started alone."""
    from roundsman.cli.ledger import open_memory
    from roundsman.log import configure_logging
    from roundsman.settings import LOOPBACK_HOSTS
    from roundsman.store.keys import orgs_with_keys

    memory = open_memory()
    given = {"api_host": host, "api_port": port}
    settings = memory.settings.model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )
    if settings.api_host not in LOOPBACK_HOSTS and not orgs_with_keys(memory.ledger):
        raise Mistake(
            f"the API is not served on '{settings.api_host}' while no key exists",
            "make one first: roundsman keys create NAME --permission read",
        )
    memory.ledger.close()
    configure_logging(settings.log_level, settings.log_dir, settings.log_format)
    from roundsman.api.server import serve_until_told

    serve_until_told(
        settings, lambda url: typer.echo(f"serving {url}  (its routes: {url}/openapi.json)")
    )
