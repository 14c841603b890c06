"""Whether the receiving server could tell who sent the mail."""

from __future__ import annotations

import re

from roundsman.rules.mail.evidence import find
from roundsman.rules.mail.message import Parsed, organisation

_PASS = re.compile(r"\bdmarc=(?:best ?guess)?pass\b")
_SPF_UNSURE = re.compile(r"\bspf=(?:softfail|neutral|temperror|permerror)\b")
_DMARC_PASS = re.compile(r"\bdmarc=pass\b")
_SIGNER = re.compile(r"header\.(?:d|i)=@?([a-z0-9.-]{1,255})")
_ENVELOPE = re.compile(r"smtp\.mailfrom=(?:[^\s;@]{0,100}@)?([a-z0-9.-]{1,255})")


def spf_fails(mail: Parsed) -> str:
    """The sending host is not one of the sender's."""
    return find(re.compile(r"\bspf=fail\b"), mail.authentication)


def spf_unsure(mail: Parsed) -> str:
    """The sender's domain does not stand by the sending host."""
    return find(
        re.compile(r"\bspf=(?:softfail|neutral|temperror|permerror)\b"), mail.authentication
    )


def spf_absent(mail: Parsed) -> str:
    """The sender's domain names no sending hosts."""
    return find(re.compile(r"\bspf=none\b"), mail.authentication)


def dkim_fails(mail: Parsed) -> str:
    """A signature does not fit and none does."""
    if "dkim=pass" in mail.authentication:
        return ""
    return find(re.compile(r"\bdkim=(?:fail|permerror)\b"), mail.authentication)


def dkim_absent(mail: Parsed) -> str:
    """Nobody signed."""
    return find(re.compile(r"\bdkim=none\b"), mail.authentication)


def dmarc_fails(mail: Parsed) -> str:
    """Neither the host nor the signature belongs to the From domain."""
    return find(re.compile(r"\bdmarc=(?:fail|permerror|temperror)\b"), mail.authentication)


def dmarc_absent(mail: Parsed) -> str:
    """The From domain publishes no rule."""
    if _PASS.search(mail.authentication):
        return find(re.compile(r"\bdmarc=bestguesspass\b"), mail.authentication)
    return find(re.compile(r"\bdmarc=none\b"), mail.authentication)


def signer_is_other(mail: Parsed) -> str:
    """The mail is signed, by somebody else than the From domain."""
    if "dkim=pass" not in mail.authentication or not mail.domain:
        return ""
    signers = _SIGNER.findall(mail.authentication.lower())
    if any(organisation(signer) == organisation(mail.domain) for signer in signers):
        return ""
    return find(_SIGNER, mail.authentication)


def envelope_is_other(mail: Parsed) -> str:
    """The envelope's domain is not the From domain and no signature makes up for it."""
    if authenticated(mail) or not mail.domain:
        return ""
    found = _ENVELOPE.findall(mail.authentication.lower())
    back = found[0] if found else mail.return_path.rpartition("@")[2]
    other = bool(back) and organisation(back) != organisation(mail.domain)
    return (find(_ENVELOPE, mail.authentication) or mail.return_path) if other else ""


def authenticated(mail: Parsed) -> str:
    """DMARC passes: the From domain really sent it."""
    return find(_DMARC_PASS, mail.authentication)


SIGNALS = (
    spf_fails,
    spf_unsure,
    spf_absent,
    dkim_fails,
    dkim_absent,
    dmarc_fails,
    dmarc_absent,
    signer_is_other,
    envelope_is_other,
)
