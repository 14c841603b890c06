"""Whether the sender is who the display name says."""

from __future__ import annotations

import re

from roundsman.rules.mail.authentication import authenticated
from roundsman.rules.mail.evidence import WORD, find, host_of, quote
from roundsman.rules.mail.message import Parsed, fold, organisation
from roundsman.rules.mail.names import (
    BRANDS,
    CHEAP_TLDS,
    FREE_MAIL,
    RISKY_TLDS,
    SAFE_DOMAINS,
    SENDING_PLATFORMS,
    SERVICE_WORDS,
)

_SHAPES = str.maketrans("01358$@", "oiebbsa")
_VALID = re.compile(
    r"[^\s@<>%,;()\"]{1,64}@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,8}[a-z][a-z0-9-]{1,20}"
)
_BRAND = {name: re.compile(rf"\b{re.escape(name)}\b") for name in BRANDS}
_ADDRESS = re.compile(r"[a-z0-9._%+-]{1,64}@[a-z0-9.-]{1,200}\.[a-z]{2,10}")
_OFFICE = re.compile(
    r"\b(?:support|security|team|service|helpdesk|billing|account|admin|administrator|department"
    r"|kundenservice|soporte|suporte|assistenza|atendimento|notification|notice|alert|refund"
    r"|rewards?|claims?|winner|gewinner|gewinnspiel|congratulations|urgent|aviso|protocolo)"
)


def _brand(text: str) -> str:
    folded = fold(text)
    return next((name for name, pattern in _BRAND.items() if pattern.search(folded)), "")


def _owned(domain: str, brand: str) -> bool:
    return any(domain == own or domain.endswith("." + own) for own in BRANDS[brand])


def name_of_another_brand(mail: Parsed) -> str:
    """The display name is a known brand and the address is not the brand's."""
    brand = _brand(mail.sender_name)
    own = (
        not brand or _owned(mail.domain, brand) or organisation(mail.domain).startswith(brand + ".")
    )
    return "" if own else quote(mail.sender_name)


def subject_of_another_brand(mail: Parsed) -> str:
    """The subject names a brand that did not send it."""
    brand = _brand(mail.subject)
    return "" if not brand or _owned(mail.domain, brand) else find(_BRAND[brand], mail.subject)


def name_not_in_domain(mail: Parsed) -> str:
    """No word of an office-like display name stands in the registered domain."""
    label = organisation(mail.domain).partition(".")[0].translate(_SHAPES)
    words = [word for word in WORD.findall(fold(mail.sender_name)) if len(word) > 2]
    if not words or not label or organisation(mail.domain) in FREE_MAIL:
        return ""
    known = any(word.translate(_SHAPES) in label or label in word for word in words)
    offices = _OFFICE.search(fold(mail.sender_name)) is not None
    return quote(mail.sender_name) if offices and not known else ""


def name_in_subdomain(mail: Parsed) -> str:
    """The display name stands before a domain that somebody else registered."""
    base = organisation(mail.domain)
    ahead = mail.domain.removesuffix(base)
    words = _names(mail)
    joined = "".join(WORD.findall(fold(mail.sender_name)))
    hit = any(word in ahead and word not in base for word in words)
    hit = hit or any(label in joined for label in WORD.findall(ahead) if len(label) > 5)
    return quote(mail.domain) if hit and base.partition(".")[0] not in joined else ""


def _names(mail: Parsed) -> list[str]:
    words = WORD.findall(fold(mail.sender_name))
    return [word for word in words if len(word) > 3 and word not in SERVICE_WORDS]


def domain_with_service_word(mail: Parsed) -> str:
    """The domain is a name with "support", "login" or the like added."""
    return quote(mail.domain) if _dressed(mail.domain) else ""


def _dressed(host: str) -> bool:
    base = organisation(host).partition(".")[0]
    pieces = base.split("-")
    return len(pieces) > 1 and any(piece in SERVICE_WORDS for piece in pieces)


def domain_looks_alike(mail: Parsed) -> str:
    """Digits in the domain stand for the letters of the name."""
    hosts = [(mail.domain, mail.sender)]
    hosts += [(host_of(link), link.target) for link in mail.links[:20]]
    for host, shown in hosts:
        base = organisation(host).partition(".")[0]
        turned = base.translate(_SHAPES), base.replace("1", "l").translate(_SHAPES)
        names = {*_names(mail), *BRANDS}
        for piece in {part for text in turned for part in text.split("-")}:
            if piece in names and piece not in base:
                return quote(shown)
    return ""


def free_mail_for_an_office(mail: Parsed) -> str:
    """An office or a brand writes from a free mailbox."""
    if mail.domain not in FREE_MAIL:
        return ""
    name = fold(mail.sender_name)
    brand = _brand(mail.sender_name) and _brand(mail.sender_name) not in mail.domain
    return quote(mail.sender_name) if brand or _OFFICE.search(name) else ""


def free_mail_unlike_the_name(mail: Parsed) -> str:
    """The mailbox at a free service carries none of the display name."""
    local = mail.sender.partition("@")[0]
    words = [word for word in WORD.findall(fold(mail.sender_name)) if len(word) > 2]
    other = mail.domain in FREE_MAIL and words and not any(word in local for word in words)
    return quote(mail.sender) if other else ""


def reply_goes_elsewhere(mail: Parsed) -> str:
    """Answers go to another organisation."""
    back = mail.reply_to.rpartition("@")[2]
    other = back and mail.domain and organisation(back) != organisation(mail.domain)
    return quote(mail.reply_to) if other and not mail.headers["List-Id"] else ""


def reply_goes_to_free_mail(mail: Parsed) -> str:
    """Answers go to a free mailbox that is not the sender."""
    back = mail.reply_to.rpartition("@")[2]
    return quote(mail.reply_to) if back in FREE_MAIL and mail.reply_to != mail.sender else ""


def sender_is_invalid(mail: Parsed) -> str:
    """From is not an address."""
    if _VALID.fullmatch(mail.sender):
        return ""
    return quote(mail.sender_header or mail.subject)


def sender_header_is_odd(mail: Parsed) -> str:
    """From has more than a name and an address in angle brackets."""
    header = mail.sender_header
    odd = re.search(r"[,;(_]\s?[_(\d]{0,5}<|\s>|>.{1,100}<|,\s.{0,60}<", header)
    return quote(header) if odd else ""


def name_holds_an_address(mail: Parsed) -> str:
    """The display name shows another address than the real one."""
    shown = _ADDRESS.search(fold(mail.sender_name))
    other = shown and organisation(shown[0].rpartition("@")[2]) != organisation(mail.domain)
    return quote(mail.sender_name) if other else ""


def name_is_shouting(mail: Parsed) -> str:
    """The display name carries a number, a case or decoration."""
    odd = re.search(r"\d{4,}|[|*\\\[\]!:#✔★]|[^\x00-\u024f]", mail.sender_name)
    return quote(mail.sender_name) if odd else ""


def sender_is_random(mail: Parsed) -> str:
    """The address looks as if a program drew it."""
    local, _, domain = mail.sender.partition("@")
    drawn = re.search(r"[a-z]\d{1,3}[a-z]\d|\d{5,}|_\d{3,}$", local)
    label = organisation(domain).partition(".")[0]
    deep = domain.count(".") > 4 or re.search(r"\d[a-z]{1,3}\d|\d{3,}", label)
    return quote(mail.sender) if drawn or deep else ""


def sender_has_risky_tld(mail: Parsed) -> str:
    """The sender's top-level domain is one of those of the feature list."""
    return quote(mail.sender) if mail.domain.rpartition(".")[2] in RISKY_TLDS else ""


def sender_has_cheap_tld(mail: Parsed) -> str:
    """The sender's top-level domain costs little and is left fast."""
    return quote(mail.sender) if mail.domain.rpartition(".")[2] in CHEAP_TLDS else ""


def sent_by_a_platform(mail: Parsed) -> str:
    """A platform's own domain stands in for the sender's."""
    return quote(mail.sender) if organisation(mail.domain) in SENDING_PLATFORMS else ""


def brand_is_the_sender(mail: Parsed) -> str:
    """The display name is the domain, and the domain is authenticated."""
    label = organisation(mail.domain).partition(".")[0]
    words = WORD.findall(fold(mail.sender_name))
    same = label in {"".join(words), *words} and not _dressed(mail.domain)
    cheap = mail.domain.rpartition(".")[2] in CHEAP_TLDS | RISKY_TLDS
    return quote(mail.sender) if same and not cheap and authenticated(mail) else ""


def domain_is_allowed(mail: Parsed) -> str:
    """The domain is on the allowlist and authenticated."""
    return (
        quote(mail.sender)
        if organisation(mail.domain) in SAFE_DOMAINS and authenticated(mail)
        else ""
    )


SIGNALS = (
    name_of_another_brand,
    subject_of_another_brand,
    name_not_in_domain,
    name_in_subdomain,
    domain_with_service_word,
    domain_looks_alike,
    free_mail_for_an_office,
    free_mail_unlike_the_name,
    reply_goes_elsewhere,
    reply_goes_to_free_mail,
    sender_is_invalid,
    sender_header_is_odd,
    name_holds_an_address,
    name_is_shouting,
    sender_is_random,
    sender_has_risky_tld,
    sender_has_cheap_tld,
    sent_by_a_platform,
    brand_is_the_sender,
    domain_is_allowed,
)
