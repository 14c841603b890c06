"""How much risk a mail carries, and by which evidence."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import NamedTuple

from roundsman.rules.mail import (
    attachments,
    authentication,
    content,
    hidden,
    identity,
    links,
    platforms,
    structure,
)
from roundsman.rules.mail.message import Parsed, read_message
from roundsman.rules.mail.relationship import SIGNALS as RELATIONS
from roundsman.rules.mail.relationship import Relation
from roundsman.rules.mail.weights import POINTS, START

FAMILIES = {
    "authentication": authentication.SIGNALS,
    "identity": identity.SIGNALS,
    "links": links.SIGNALS,
    "content": content.SIGNALS,
    "hidden": hidden.SIGNALS,
    "attachments": attachments.SIGNALS,
    "structure": structure.SIGNALS,
    "platforms": platforms.SIGNALS,
}
# What experience with a mailbox is worth; no collection of mails can teach it.
RELATION_POINTS = {
    "sender_is_new": 3,
    "sender_is_known": -15,
    "sender_was_answered": -30,
    "sender_is_allowed": -60,
    "sender_is_denied": 80,
}
# Set by rule where the fitted mails hold no or too few examples.
FIXED_POINTS = {
    "labelled_spam": 30,
    "attached_program": 30,
    "attached_macros": 20,
    "attached_page": 15,
    "attached_with_two_endings": 25,
    "form_in_the_mail": 10,
    "picture_may_be_a_code": 8,
    "platform_carries_a_number": 20,
    "platform_carries_a_lure": 15,
    "platform_carries_a_link": 20,
    "link_in_punycode": 15,
    "link_to_address": 10,
    "scripts_mixed": 15,
    "invisible_in_subject": 12,
    "domain_looks_alike": 25,
    "domain_is_allowed": -15,
    "message_is_broken": 2,
}
# Ten points multiply the odds by 2.7.
POINTS_PER_UNIT = 10.0
UNWANTED_SCORE_MIN = 50.0


class RiskLevel(StrEnum):
    """Risk by thresholds of the score: 20, 40, 60 and 80."""

    SAFE = "SAFE"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


class Signal(NamedTuple):
    """One reason: what was found, what it counts, and the words of the mail that show it."""

    name: str
    family: str
    points: int
    evidence: str


class Risk(NamedTuple):
    """A verdict; `raw` is `START` and the signals' points added up."""

    score: float
    level: RiskLevel
    unwanted: bool
    raw: int
    signals: tuple[Signal, ...]


def find_signals(mail: Parsed, relation: Relation | None = None) -> list[tuple[str, str, str]]:
    """Return family, name and evidence of every signal that the mail gives, weighed or not."""
    found = [
        (family, signal.__name__, evidence)
        for family, signals in FAMILIES.items()
        for signal in signals
        if (evidence := signal(mail))
    ]
    known = relation or Relation()
    found += [
        ("relationship", signal.__name__, evidence)
        for signal in RELATIONS
        if (evidence := signal(mail, known))
    ]
    return found


def points_of(name: str) -> int:
    """What a signal counts."""
    return RELATION_POINTS.get(name, FIXED_POINTS.get(name, POINTS.get(name, 0)))


def score_of(raw: int) -> float:
    """The one monotone map from points to 0-100."""
    turned = max(-60.0, min(60.0, raw / POINTS_PER_UNIT))
    return 100.0 / (1.0 + math.exp(-turned))


def level_of(score: float) -> RiskLevel:
    """The level by the thresholds."""
    return list(RiskLevel)[min(4, int(max(score, 0.0) // 20))]


def judge_mail(mail: Parsed, relation: Relation | None = None) -> Risk:
    """Judge a parsed mail; signals come by weight, heaviest first."""
    found = find_signals(mail, relation)
    signals = [
        Signal(name, family, points, evidence)
        for family, name, evidence in found
        if (points := points_of(name))
    ]
    raw = START + sum(signal.points for signal in signals)
    score = score_of(raw)
    ordered = tuple(sorted(signals, key=lambda signal: (-abs(signal.points), signal.name)))
    return Risk(score, level_of(score), score >= UNWANTED_SCORE_MIN, raw, ordered)


def judge_content(raw_mail: bytes, relation: Relation | None = None) -> Risk:
    """Judge a raw mail, whatever it is."""
    return judge_mail(read_message(raw_mail), relation)
