"""A mail's row: whatever arrives becomes a row, and the same mail always the same one."""

import hashlib
import json
from datetime import UTC, datetime

import pytest

from roundsman.rules.mail import MAIL_FIELDS, MailRow, RawMail, fingerprint_of, parse_mail

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MAIL = (
    b"Message-ID: <a1@shop.example>\r\n"
    b"From: Shop <Orders@Shop.example>\r\n"
    b"To: ann@home.example\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= from us\r\n"
    b"Date: Fri, 20 Nov 2026 10:00:00 +0200\r\n"
    b"\r\n"
    b"Hello\r\n"
)


def row(content: bytes, received_at: datetime | None = None) -> MailRow:
    return parse_mail(RawMail(content), received_at, NOW)


def test_a_whole_mail_is_read():
    read = row(MAIL)
    assert read.message_id == "a1@shop.example"
    assert (read.sender, read.sender_domain) == ("orders@shop.example", "shop.example")
    assert read.recipient == "ann@home.example"
    assert read.subject == "Grüße from us"
    assert read.date_header == datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
    assert read.received_at == read.date_header
    assert read.size_bytes == len(MAIL)
    assert read.fingerprint == fingerprint_of(b"Hello\r\n")
    assert not read.broken


def test_a_row_has_the_declared_fields_in_their_order():
    assert list(MAIL_FIELDS) == list(MailRow._fields)


def test_a_given_arrival_overrules_the_date_and_the_date_is_kept():
    read = row(MAIL, received_at=NOW)
    assert read.received_at == NOW
    assert read.date_header == datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


def test_without_any_date_the_fallback_stands():
    assert row(b"From: a@b.example\n\nx").received_at == NOW


def test_without_a_message_id_the_content_is_the_key():
    content = b"From: a@b.example\n\nx"
    assert row(content).message_id == hashlib.sha256(content).hexdigest()


def test_an_endless_message_id_is_not_a_key():
    content = b"Message-ID: <" + b"x" * 9_999 + b">\n\nx"
    assert row(content).message_id == hashlib.sha256(content).hexdigest()


def test_the_fingerprint_changes_with_the_body_and_not_with_the_head():
    assert row(MAIL).fingerprint == row(MAIL.replace(b"from us", b"from me")).fingerprint
    assert row(MAIL).fingerprint != row(MAIL.replace(b"Hello", b"Hullo")).fingerprint


@pytest.mark.parametrize(
    ("header", "sender"),
    [
        (b"From: KetoX, <laredoute@fr.example.>, <x@y.example>", "laredoute@fr.example."),
        (b'From: " "  ,25<email@e-mail.example>', "email@e-mail.example"),
        (b"From: =?UTF-8?B?RGVCYW5r?= <>", ""),
        (b'From: "unclosed <a@b.example>', "a@b.example"),
        (b"X: y", ""),
    ],
)
def test_names_that_spoil_an_address_do_not_hide_it(header, sender):
    assert row(header + b"\n\nx").sender == sender


@pytest.mark.parametrize(
    ("header", "subject"),
    [
        ("Subject: Félicitations".encode(), "Félicitations"),
        (b"Subject: =?utf-8?b?A?=", "=?utf-8?b?A?="),
        (b"Subject: caf\xe9", "café"),
        (b"Subject: =?no-such-charset?q?caf=C3=A9?=", "café"),
        (b"Subject: =?utf-8?b?!!!?=", ""),
        (b"Subject: a\x00b", "ab"),
    ],
)
def test_headers_in_any_encoding_become_text(header, subject):
    assert row(header + b"\n\nx").subject == subject


@pytest.mark.parametrize(
    "date", ["99 Foo", "Mon, 1 Jan 0000 00:00:00 +9999", "Mon, 31 Dec 9999 23:59:59 -2359", ""]
)
def test_an_impossible_date_is_no_date(date):
    assert row(f"Date: {date}\n\nx".encode()).date_header is None


@pytest.mark.parametrize("junk", [b"", b"\x00\xff" * 100, b"no headers at all"])
def test_junk_is_kept_and_marked_broken(junk):
    read = row(junk)
    assert read.broken
    assert read.message_id == hashlib.sha256(junk).hexdigest()


@pytest.mark.parametrize("junk", [b"Subject: \xff\xfe\xed\xa0\x80\n\nb", b"From: a@b\x00c\n\n"])
def test_every_row_can_be_written_as_utf8(junk):
    assert json.dumps(row(junk)._asdict(), default=str, ensure_ascii=False).encode("utf-8")
