"""What the caller knows of sender and recipient."""

from __future__ import annotations

from typing import NamedTuple

from roundsman.rules.mail.authentication import authenticated
from roundsman.rules.mail.evidence import quote
from roundsman.rules.mail.message import Parsed


class Relation(NamedTuple):
    """What is known beside the mail; None means that nobody looked.

    `allowed` and `denied` are domains of the user's lists.
    """

    wrote_before: bool | None = None
    was_answered: bool = False
    allowed: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()


def _listed(domain: str, domains: frozenset[str]) -> bool:
    return any(domain == one or domain.endswith("." + one) for one in domains)


def sender_is_new(mail: Parsed, relation: Relation) -> str:
    """The sender never wrote before."""
    return quote(mail.sender or mail.sender_header) if relation.wrote_before is False else ""


def sender_is_known(mail: Parsed, relation: Relation) -> str:
    """The sender wrote before, and it is the sender."""
    known = relation.wrote_before and authenticated(mail)
    return quote(mail.sender) if known else ""


def sender_was_answered(mail: Parsed, relation: Relation) -> str:
    """The user answered this sender, and it is the sender."""
    known = relation.was_answered and authenticated(mail)
    return quote(mail.sender) if known else ""


def sender_is_allowed(mail: Parsed, relation: Relation) -> str:
    """The user allows the domain, and it is the domain."""
    listed = _listed(mail.domain, relation.allowed) and authenticated(mail)
    return quote(mail.sender) if listed else ""


def sender_is_denied(mail: Parsed, relation: Relation) -> str:
    """The user refuses the domain."""
    return quote(mail.sender) if _listed(mail.domain, relation.denied) else ""


SIGNALS = (sender_is_new, sender_is_known, sender_was_answered, sender_is_allowed, sender_is_denied)
