"""Whether links lead where they seem to lead."""

from __future__ import annotations

import re

from roundsman.rules.mail.evidence import WORD, find, first_link, host_of, quote
from roundsman.rules.mail.identity import free_mail_unlike_the_name
from roundsman.rules.mail.message import Parsed, fold, organisation
from roundsman.rules.mail.names import (
    CHEAP_TLDS,
    FREE_HOSTS,
    FREE_MAIL,
    FREE_PATHS,
    RISKY_TLDS,
    SERVICE_WORDS,
    SHORTENERS,
)

_SHOWN = re.compile(r"(?:https?://|www\.)([a-z0-9.-]{3,200})|^([a-z0-9-]{2,60}\.[a-z]{2,10})/?$")
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|0x[0-9a-f]{6,}|\d{8,10}")
_ONWARD = re.compile(
    r"[?&#=/](?:url|u|q|redirect|redir|target|dest|next|goto|link)=?(?:https?%3a|https?://)", re.I
)
_CLICK = re.compile(
    r"\b(?:click|klick(?:en)?|cliquez|clique|clic|haga clic|haz clic|clicca|klik)\b.{0,20}"
    r"\b(?:here|below|hier|unten|ici|aqui|abaixo|abajo|qui|link|button)\b"
)


def _hosts(mail: Parsed) -> list[str]:
    return [host for host in (host_of(link) for link in mail.links) if host]


def _foreign(mail: Parsed) -> list[str]:
    own = organisation(mail.domain)
    return [host for host in _hosts(mail) if organisation(host) != own]


def _to(mail: Parsed, host: str) -> str:
    return next(quote(link.target) for link in mail.links if host_of(link) == host)


def label_shows_another_host(mail: Parsed) -> str:
    """The anchor's text is an address on another domain than its target."""
    for link in mail.links:
        shown = _SHOWN.search(link.label.lower())
        host = host_of(link)
        if shown and host:
            seen = organisation(shown[1] or shown[2])
            if seen != organisation(host) and organisation(host) != organisation(mail.domain):
                return quote(link.label)
    return ""


def link_is_short(mail: Parsed) -> str:
    """A shortener hides the target."""
    return first_link(mail, SHORTENERS)


def link_to_free_host(mail: Parsed) -> str:
    """The page is hosted where anybody may put one."""
    for link in mail.links:
        if host_of(link).endswith(FREE_HOSTS) or any(path in link.target for path in FREE_PATHS):
            return quote(link.target)
    return ""


def link_redirects(mail: Parsed) -> str:
    """The target holds another address to go on to."""
    return next((quote(link.target) for link in mail.links if _ONWARD.search(link.target)), "")


def link_in_punycode(mail: Parsed) -> str:
    """The host is written in another script."""
    for link in mail.links:
        host = host_of(link)
        if "xn--" in host or not host.isascii():
            return quote(link.target)
    return ""


def link_to_address(mail: Parsed) -> str:
    """The host is a number."""
    found = (link for link in mail.links if _ADDRESS.fullmatch(host_of(link)))
    return next((quote(link.target) for link in found), "")


def link_names_recipient(mail: Parsed) -> str:
    """The target carries the recipient's address."""
    to = mail.recipient.strip("<> ").lower()
    found = (link.target for link in mail.links if "@" in to and to in link.target.lower())
    return next((quote(target) for target in found if target.startswith("http")), "")


def link_has_risky_tld(mail: Parsed) -> str:
    """A link leads to a top-level domain of the feature list."""
    found = (host for host in _foreign(mail) if host.rpartition(".")[2] in RISKY_TLDS)
    return next((_to(mail, host) for host in found), "")


def link_has_cheap_tld(mail: Parsed) -> str:
    """A link leads to a top-level domain that costs little."""
    found = (host for host in _hosts(mail) if host.rpartition(".")[2] in CHEAP_TLDS)
    return next((_to(mail, host) for host in found), "")


def link_host_is_dressed(mail: Parsed) -> str:
    """The host is a name with "support", "login" or the like added."""
    for host in _hosts(mail):
        pieces = organisation(host).partition(".")[0].split("-")
        if len(pieces) > 1 and any(piece in SERVICE_WORDS for piece in pieces):
            return _to(mail, host)
    return ""


def link_host_borrows_name(mail: Parsed) -> str:
    """The sender's name stands in a host that is not the sender's domain."""
    words = WORD.findall(fold(mail.sender_name))
    names = [word for word in words if len(word) > 3 and word not in SERVICE_WORDS]
    for host in _foreign(mail):
        ahead = host.removesuffix(organisation(host))
        if any(name in ahead for name in names) and len(organisation(host)) < 25:
            return _to(mail, host)
    return ""


def links_all_lead_elsewhere(mail: Parsed) -> str:
    """No link leads to the sender's own domain."""
    hosts = _hosts(mail)
    foreign = _foreign(mail)
    markup = any(link.label for link in mail.links)
    return _to(mail, foreign[0]) if markup and hosts and len(foreign) == len(hosts) else ""


def links_lead_home(mail: Parsed) -> str:
    """A link leads to the sender's own domain, whose name is neither dressed up nor cheap."""
    own = organisation(mail.domain)
    if not own or own in FREE_MAIL or own.rpartition(".")[2] in CHEAP_TLDS | RISKY_TLDS:
        return ""
    pieces = own.partition(".")[0].split("-")
    if len(pieces) > 1 and any(piece in SERVICE_WORDS for piece in pieces):
        return ""
    return next((_to(mail, host) for host in _hosts(mail) if organisation(host) == own), "")


def links_all_lead_one_place(mail: Parsed) -> str:
    """Every one of several links has the same foreign target host."""
    hosts = _hosts(mail)
    same = len(hosts) > 1 and len(set(hosts)) == 1 and hosts == _foreign(mail)
    return _to(mail, hosts[0]) if same else ""


def link_of_a_free_mailbox(mail: Parsed) -> str:
    """A free mailbox sends HTML with links."""
    labelled = [link for link in mail.links if link.label and host_of(link)]
    free = mail.domain in FREE_MAIL and labelled and free_mail_unlike_the_name(mail)
    return quote(labelled[0].target) if free else ""


def link_is_unencrypted(mail: Parsed) -> str:
    """A labelled link leads to a page without TLS."""
    found = (link for link in mail.links if link.label and link.target.startswith("http://"))
    return next((quote(link.target) for link in found), "")


def link_is_a_riddle(mail: Parsed) -> str:
    """The path is one long drawn word, or the link is data or script."""
    for link in mail.links:
        if re.match(r"\s{0,5}(?:data|javascript):", link.target, re.I):
            return quote(link.target)
        tail = link.target.partition("#")[2]
        if len(tail) > 40 and re.search(r"\d[a-zA-Z]\d", tail):
            return quote(link.target)
    return ""


def asks_to_click(mail: Parsed) -> str:
    """The text asks for a click "here" or "below"."""
    return find(_CLICK, mail.text)


def picture_is_the_link(mail: Parsed) -> str:
    """Little text, pictures, and a link without words."""
    bare = [link for link in mail.links if not link.label and link.target.startswith("http")]
    return quote(bare[0].target) if bare and mail.images and len(mail.text) < 400 else ""


def picture_inside_the_mail(mail: Parsed) -> str:
    """A picture is written into the HTML, where filters do not look."""
    return next((quote(image[:60]) for image in mail.images if image.startswith("data:")), "")


def picture_may_be_a_code(mail: Parsed) -> str:
    """The text speaks of a QR code."""
    return find(re.compile(r"\bqr[ -]?code\b|\bcodigo qr\b|\bscan (?:the|this) code\b"), mail.text)


def form_in_the_mail(mail: Parsed) -> str:
    """The mail itself asks for input."""
    return next((quote(form) for form in mail.forms if form), "")


SIGNALS = (
    label_shows_another_host,
    link_is_short,
    link_to_free_host,
    link_redirects,
    link_in_punycode,
    link_to_address,
    link_names_recipient,
    link_has_risky_tld,
    link_has_cheap_tld,
    link_host_is_dressed,
    link_host_borrows_name,
    links_all_lead_elsewhere,
    links_lead_home,
    links_all_lead_one_place,
    link_of_a_free_mailbox,
    link_is_unencrypted,
    link_is_a_riddle,
    asks_to_click,
    picture_is_the_link,
    picture_inside_the_mail,
    picture_may_be_a_code,
    form_in_the_mail,
)
