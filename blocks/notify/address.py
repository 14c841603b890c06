"""Which addresses a channel may have, and what of them is secret."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

DEFAULT_PORTS = {"http": 80, "https": 443}
# Cutting a short path out of every text would tear ordinary words apart.
SECRET_PATH_CHARACTERS_MIN = 16
_WRONG = "is no address; write https://host/path"


def check_url(url: str) -> str:
    """The address of a web hook; a ValueError does not repeat it, for it may be secret."""
    try:
        parts, _ = urlsplit(url), httpx.URL(url)
        port_is_well = parts.port != 0
    except (ValueError, httpx.InvalidURL):
        raise ValueError(_WRONG) from None
    plain = url.isascii() and url.isprintable() and " " not in url
    if not plain or parts.scheme not in DEFAULT_PORTS or not parts.hostname or not port_is_well:
        raise ValueError(_WRONG)
    if parts.username or parts.password or parts.fragment:
        raise ValueError("holds a user, a password or a fragment; leave them out")
    return url


def check_secret_url(url: SecretStr) -> SecretStr:
    """The same for an address that is secret."""
    check_url(url.get_secret_value())
    return url


def host_of(url: str) -> str:
    """Host and port, which are not secret."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def secret_parts(secret: SecretStr) -> tuple[str, ...]:
    """What the other side might repeat of a secret: all of it; of an address also its path."""
    whole = secret.get_secret_value()
    path = urlsplit(whole).path if whole.startswith(("http://", "https://")) else ""
    return (whole, path) if len(path) >= SECRET_PATH_CHARACTERS_MIN else (whole,)


def is_loopback(host: str) -> bool:
    """Whether words to this host never leave the machine."""
    return host in ("localhost", "::1") or host.startswith("127.")
