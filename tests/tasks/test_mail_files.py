"""Reading mail files: every kind, in a stable order, nothing lost and nothing fatal."""

import base64
import gzip
import json
import mailbox
from datetime import UTC, datetime, timedelta

import pytest

from roundsman.errors import Mistake
from tasks.mail_files import Counted, MailSource, kind_of, read_mails, rows_of

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def mail(number: int, body: str = "x") -> bytes:
    return (
        f"Message-ID: <{number}@t.example>\nFrom: a@b.example\n"
        f"Date: Fri, 20 Nov 2026 10:{number:02d}:00 +0000\n\n{body}\n"
    ).encode()


def line(content: bytes, **more: str) -> bytes:
    return json.dumps({"raw_base64": base64.b64encode(content).decode(), **more}).encode() + b"\n"


@pytest.fixture
def places(tmp_path):
    """The same three mails in every kind of place."""
    folder = tmp_path / "folder" / "inner"
    folder.mkdir(parents=True)
    maildir = mailbox.Maildir(tmp_path / "maildir")
    mbox = mailbox.mbox(tmp_path / "old.mbox")
    for number in range(3):
        (folder / f"{number}.eml").write_bytes(mail(number))
        maildir.add(mail(number))
        mbox.add(mail(number))
    mbox.close()
    (tmp_path / "one.eml").write_bytes(mail(0) * 1)
    lines = b"".join(line(mail(number), label="ham", subtype="easy") for number in range(3))
    (tmp_path / "a.jsonl").write_bytes(lines)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines))
    return tmp_path


@pytest.mark.parametrize("name", ["folder", "maildir", "old.mbox", "a.jsonl", "a.jsonl.gz"])
def test_every_kind_of_place_gives_the_same_mails(places, name):
    source = MailSource(paths=(str(places / name),), now=NOW)
    assert {row.message_id for row in rows_of(source)} == {f"{n}@t.example" for n in range(3)}
    again = [row.message_id for row in rows_of(source)]
    assert again == [row.message_id for row in rows_of(source)]


def test_reading_a_maildir_changes_nothing_in_it(places):
    before = sorted(path.relative_to(places) for path in places.rglob("*"))
    list(read_mails([str(places / "maildir"), str(places / "old.mbox")]))
    assert sorted(path.relative_to(places) for path in places.rglob("*")) == before


def test_labels_are_kept_where_given(places):
    first = next(rows_of(MailSource(paths=(str(places / "a.jsonl"),), now=NOW)))
    assert (first.label, first.subtype) == ("ham", "easy")


def test_arrivals_are_spread_evenly_and_the_last_is_now(places):
    source = MailSource(
        paths=(str(places / "a.jsonl"),), now=NOW, arrive_over=timedelta(days=3), total=3
    )
    assert [NOW - row.received_at for row in rows_of(source)] == [
        timedelta(days=2),
        timedelta(days=1),
        timedelta(0),
    ]
    assert all(row.date_header.day == 20 for row in rows_of(source))


def test_broken_lines_are_counted_and_kept(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(line(mail(1)) + b"{not json\n" + b'{"raw_base64": "%%%"}\n\n' + line(b""))
    counted = Counted()
    rows = list(rows_of(MailSource(paths=(str(path),), now=NOW), counted))
    assert len(rows) == 4
    assert counted == Counted(mails=4, broken=3, duplicates=0)


def test_the_same_mail_twice_is_one_row(places):
    both = (str(places / "a.jsonl"), str(places / "one.eml"))
    counted = Counted()
    assert len(list(rows_of(MailSource(paths=both, now=NOW), counted))) == 3
    assert counted.duplicates == 1


def test_another_mail_under_a_taken_id_is_kept(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(line(mail(1, "first")) + line(mail(1, "second")) + line(mail(1, "second")))
    counted = Counted()
    rows = list(rows_of(MailSource(paths=(str(path),), now=NOW), counted))
    assert len({row.message_id for row in rows}) == 2
    assert counted.duplicates == 1


@pytest.mark.parametrize("name", ["absent", "notes.txt"])
def test_what_is_no_mail_is_named_with_what_would_be(tmp_path, name):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(Mistake, match=name) as caught:
        kind_of(tmp_path / name)
    assert "mbox" in caught.value.remedy
