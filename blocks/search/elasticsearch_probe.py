"""What Elasticsearch's security says about credentials: could they write?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from roundsman.errors import Misread, Refused
from roundsman.rules.windows import Probe

WRITING_INDEX = ("create_doc", "index", "delete", "create_index", "delete_index", "manage")
WRITING_CLUSTER = ("manage", "manage_security", "manage_ingest_pipelines")
# How many of the indices that the credentials can see are asked about by name.
NAMES_MAX = 200


def privileges_asked(seen: Sequence[str]) -> dict[str, Any]:
    """The question about all indices and, since a key may write to only a few, about those seen."""
    names = ["*", *seen[:NAMES_MAX]]
    return {
        "cluster": list(WRITING_CLUSTER),
        "index": [{"names": names, "privileges": list(WRITING_INDEX)}],
    }


def unknown_rights(refused: Refused) -> str:
    """The note when the question itself was refused; a server without security does not know it."""
    if refused.status == 400:
        return "security is off on this server: whoever reaches it could write"
    return f"whether these credentials could write is unknown: {refused.said}"


def probe_of(version: str, told: Any, notes: tuple[str, ...]) -> Probe:
    """The probe, with a note that names where the credentials could write.

    Misread where a right is neither granted nor denied: "may not write" must not be a guess.
    """
    held = _mapping(_mapping(told).get("index"))
    rights = {name: _granted(privileges) for name, privileges in held.items()}
    writable = sorted(name for name, granted in rights.items() if granted)
    manages = _granted(_mapping(told).get("cluster"))
    if writable:
        notes += (f"could write to {', '.join(map(repr, writable[:5]))}: use a key that may not",)
    if manages:
        notes += (f"holds the cluster privileges {', '.join(manages)}: use a key that does not",)
    return Probe(reachable=True, version=version, can_write=bool(writable or manages), notes=notes)


def _granted(privileges: Any) -> list[str]:
    told = _mapping(privileges)
    if not all(isinstance(granted, bool) for granted in told.values()):
        raise _misread()
    return sorted(name for name, granted in told.items() if granted)


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _misread()
    return cast("Mapping[str, Any]", value)


def _misread() -> Misread:
    return Misread(
        "search '*' answered in another shape what these credentials may do",
        "look at the server's own logs",
    )
