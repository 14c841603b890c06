"""How the mail is put together."""

from __future__ import annotations

import re

from roundsman.rules.mail.evidence import quote
from roundsman.rules.mail.message import Parsed, fold, organisation

_REPLY = re.compile(r"^(?:re|fw|fwd|aw|wg|tr|rv|enc|res)\s?:", re.IGNORECASE)
_PLACEHOLDER = re.compile(
    r"\{\{?\s?[a-z_ ]{2,30}\}?\}|\[\[[a-z_]{2,30}\]\]|%[A-Za-z_]{3,20}%|__[A-Z][A-Za-z]{3,20}"
)
_DRAWN = re.compile(r"\d{6,}|[A-Za-z]\d[A-Za-z]\d|[a-z][A-Z][a-z]?[A-Z]\w\w|-[A-Za-z]{10,60}$")
_TALK = re.compile(r"(?:^|\n)(?:>{1,5} ?\w|diff -|@@ -\d|\$ \w|#include|-- ?\n|On .{5,80} wrote:)")
_QUOTED = re.compile(r"(?:^|\n)>|wrote:|schrieb:|a ecrit|escribio:|escreveu:|ha scritto:")


def reply_to_nothing(mail: Parsed) -> str:
    """The subject says Re: and nothing was asked."""
    answer = _REPLY.match(mail.subject)
    known = mail.headers["In-Reply-To"] or mail.headers["References"]
    quoted = _QUOTED.search(fold(mail.text[:10_000]))
    return quote(mail.subject) if answer and not known and not quoted else ""


def recipient_in_subject(mail: Parsed) -> str:
    """The subject calls the recipient by the address."""
    to = re.search(r"[^\s<>@\"]{1,64}@[^\s<>\"]{1,200}", mail.recipient)
    return quote(mail.subject) if to and to[0].lower() in mail.subject.lower() else ""


def recipient_in_text(mail: Parsed) -> str:
    """The text calls the recipient by the address."""
    to = re.search(r"[^\s<>@\"]{1,64}@[^\s<>\"]{1,200}", mail.recipient)
    at = mail.text.lower().find(to[0].lower()) if to else -1
    return quote(mail.text[at : at + 60]) if at >= 0 and not mail.headers["List-Id"] else ""


def recipient_is_undisclosed(mail: Parsed) -> str:
    """Nobody is named as the recipient."""
    return quote(mail.recipient) if "undisclosed" in mail.recipient.lower() else ""


def recipient_is_sender(mail: Parsed) -> str:
    """The sender writes to himself, and to others unseen."""
    return quote(mail.sender) if mail.sender and mail.sender in mail.recipient.lower() else ""


def subject_holds_a_number(mail: Parsed) -> str:
    """A drawn number or word makes each subject another."""
    drawn = re.search(
        r"\d{6,}|[A-Za-z]\d[A-Za-z]\d|[a-z][A-Z][a-z]?[A-Z]\w\w|-[A-Za-z]{10,60}$", mail.subject
    )
    return quote(mail.subject) if drawn else ""


def placeholder_left(mail: Parsed) -> str:
    """A template's field was never filled in."""
    for text in (mail.subject, mail.sender_header, mail.recipient):
        found = _PLACEHOLDER.search(text)
        if found:
            return quote(found[0])
    return ""


def message_id_is_foreign(mail: Parsed) -> str:
    """The Message-ID was given by a host that is not the sender's."""
    host = mail.headers["Message-ID"].strip("<> ").rpartition("@")[2]
    other = host and mail.domain and organisation(host) != organisation(mail.domain)
    return quote(mail.headers["Message-ID"]) if other and not mail.headers["List-Id"] else ""


def message_is_broken(mail: Parsed) -> str:
    """The mail could not be read as it stands."""
    return mail.defects[0] if mail.defects else ""


def labelled_spam(mail: Parsed) -> str:
    """The mailbox's own filter put it into spam."""
    found = re.search(r"\bspam\b", mail.headers["X-Gmail-Labels"], re.IGNORECASE)
    return quote(found[0]) if found else ""


def answers_in_thread(mail: Parsed) -> str:
    """It answers a message and quotes it."""
    known = mail.headers["In-Reply-To"] or mail.headers["References"]
    quoted = _QUOTED.search(mail.text[:10_000])
    return quote(known) if "@" in known and quoted else ""


def came_by_a_list(mail: Parsed) -> str:
    """A mailing list's topic stands in brackets before the subject, as in "[dev] Hello"."""
    found = re.match(r"(?:re: ?)?\[[A-Za-z][\w .:-]{1,30}\]", mail.subject, re.IGNORECASE)
    return quote(found[0]) if found and not mail.links else ""


def talks_of_code(mail: Parsed) -> str:
    """The text holds a patch, a log, a program or a quotation."""
    found = re.search(
        r"(?:^|\n)(?:>+ ?\w|diff -|@@ -\d|\$ \w|#include|-- ?\n|On .{5,80} wrote:)", mail.text
    )
    return quote(found[0]) if found else ""


SIGNALS = (
    reply_to_nothing,
    recipient_in_subject,
    recipient_in_text,
    recipient_is_undisclosed,
    recipient_is_sender,
    subject_holds_a_number,
    placeholder_left,
    message_id_is_foreign,
    message_is_broken,
    labelled_spam,
    answers_in_thread,
    came_by_a_list,
    talks_of_code,
)
