"""How a Python program speaks to the API of another machine: `Client` and `AsyncClient`."""

from __future__ import annotations

from roundsman.client.asynchronous import AsyncClient
from roundsman.client.errors import (
    ClientError,
    Conflict,
    Invalid,
    NotAllowed,
    NotFound,
    Unavailable,
    Unreadable,
)
from roundsman.client.synchronous import Client

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "Conflict",
    "Invalid",
    "NotAllowed",
    "NotFound",
    "Unavailable",
    "Unreadable",
]
