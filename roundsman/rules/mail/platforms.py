"""Text of an attacker that a genuine platform carries."""

from __future__ import annotations

import re

from roundsman.rules.mail.content import names_money
from roundsman.rules.mail.evidence import find, quote, said
from roundsman.rules.mail.message import Parsed, organisation
from roundsman.rules.mail.names import SENDING_PLATFORMS

_CARRIERS = SENDING_PLATFORMS | {
    "paypal.com",
    "google.com",
    "docusign.net",
    "dropbox.com",
    "intuit.com",
}
_PHONE = re.compile(r"\+?1?[ .(-]{0,3}8\d{2}[ .)-]{1,3}\d{3}[ .-]{1,2}\d{4}")
_LURE = re.compile(
    r"\b(?:crypto|bitcoin|airdrop|free|prize|won|geek squad|norton|renewal|refund)\b"
)
_URL = re.compile(r"https?://\S{3,80}")


def _carried(mail: Parsed) -> bool:
    return organisation(mail.domain) in _CARRIERS


def platform_carries_a_number(mail: Parsed) -> str:
    """A platform's notice asks to call a toll-free number about money."""
    return find(_PHONE, said(mail)) if _carried(mail) and names_money(mail) else ""


def platform_carries_a_lure(mail: Parsed) -> str:
    """A platform's notice has a lure in the subject, where users write."""
    return find(_LURE, mail.subject) if _carried(mail) else ""


def platform_carries_a_link(mail: Parsed) -> str:
    """A platform's notice has an address in subject or name."""
    if not _carried(mail):
        return ""
    both = (mail.subject, mail.sender_name)
    return next((quote(found[0]) for text in both if (found := _URL.search(text))), "")


SIGNALS = (platform_carries_a_number, platform_carries_a_lure, platform_carries_a_link)
