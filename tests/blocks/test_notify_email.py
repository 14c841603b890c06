"""Mail: what it looks like, whom it reaches, and what a server's answers mean."""

from __future__ import annotations

import email
import email.policy
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from roundsman.errors import Misread, Refused, Unready
from roundsman.permits import NotSent
from tests.blocks.channels import mail_channel, message, readable
from tests.blocks.permitted import LiveRun, live_run
from tests.servers.smtp import PASSWORD, USER, MailServer

LOGIN = {"user": USER, "password": PASSWORD}
ADA, BOB = "ada@company.example", "bob@company.example"


@pytest.fixture
def live(run_home: Path) -> Iterator[LiveRun]:
    """A run that may act."""
    with live_run() as run:
        yield run


def send(live: LiveRun, block: Any, **changed: Any) -> Any:
    """Send a message by a permit of its own, on a target of its own."""
    told = message(**changed)
    return block.send(told, permit=live.permit(block.send, told, target=f"notify/{told.id}"))


@pytest.mark.covers("A-110")
def test_a_mail_has_the_messages_id_and_belongs_to_its_problems_thread(
    live: LiveRun, mail_server: MailServer
) -> None:
    receipt = send(
        live, mail_channel(mail_server.port), id="a:b", text="Grüße\n.\nEnde " + "x" * 2000
    )
    [mail] = mail_server.mails
    assert (mail.sender, mail.to) == ("roundsman@company.example", [ADA, BOB])
    told = email.message_from_bytes(mail.content, policy=email.policy.default)
    assert told["Subject"] == "[high] 132 mails are missing in the warehouse"
    assert told["Message-ID"] == receipt.reference == "<a.b@company.example>"
    assert told["References"] == "<about.ab12@company.example>"
    assert told["Auto-Submitted"] == "auto-generated"
    assert told["Date"].datetime.tzinfo
    text = readable(mail.content)
    assert "Grüße\n.\nEnde xxx" in text
    assert "The report: https://host.example/r?a=1&b=2" in text
    assert max(map(len, mail.content.split(b"\r\n"))) <= 78


def test_words_of_others_add_no_header(live: LiveRun, mail_server: MailServer) -> None:
    title = "late\r\nBcc: eve@evil.example\n\nNew body\x00\u2028X-Evil: 1 " + "ä" * 300
    send(live, mail_channel(mail_server.port), title=title)
    [mail] = mail_server.mails
    told = email.message_from_bytes(mail.content, policy=email.policy.default)
    assert told["Bcc"] is None
    assert told["X-Evil"] is None
    assert told["Subject"].startswith("late Bcc: eve@evil.example New body X-Evil: 1 ää")
    assert mail.to == [ADA, BOB]


def test_a_login_goes_over_tls_to_a_server_that_is_trusted(
    live: LiveRun,
    start_mail_server: Callable[..., MailServer],
    tls: ssl.SSLContext,
    certificate: Path,
) -> None:
    server = start_mail_server(tls=tls, login=True)
    options = {"security": "starttls", "ca_file": certificate, **LOGIN}
    assert mail_channel(server.port, **options).probe().reachable
    assert server.mails == []
    send(live, mail_channel(server.port, **options))
    assert len(server.mails) == 1

    with pytest.raises(Refused, match=r"was not trusted.*set 'ca_file'"):
        send(live, mail_channel(server.port, **(options | {"ca_file": None})), id="2")
    with pytest.raises(Refused, match=r"refused \(535\)") as refused:
        send(live, mail_channel(server.port, **(options | {"password": "not-" + PASSWORD})), id="3")
    assert PASSWORD not in str(refused.value)
    without = {"user": None, "password": None}
    with pytest.raises(Refused, match=r"refused \(5\d\d\)"):
        send(live, mail_channel(server.port, **(options | without)), id="4")
    assert len(server.mails) == 1


def test_a_server_without_tls_gets_neither_password_nor_mail(
    live: LiveRun, mail_server: MailServer
) -> None:
    with pytest.raises(Refused, match="cannot do what is asked of it: STARTTLS"):
        send(live, mail_channel(mail_server.port, security="starttls"))
    with pytest.raises((Refused, NotSent)):
        send(live, mail_channel(mail_server.port, security="ssl", timeout_seconds=0.2), id="2")
    assert mail_server.mails == []


def test_who_is_refused_is_named_and_the_others_are_told(
    live: LiveRun, mail_server: MailServer
) -> None:
    mail_server.answers[BOB] = "550 no such user"
    receipt = send(live, mail_channel(mail_server.port))
    assert "not accepted for 'bob@company.example' (550: no such user)" in receipt.said
    assert [mail.to for mail in mail_server.mails] == [[ADA]]


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ({"MAIL": "550 not you"}, Refused),
        ({"MAIL": "451 later"}, NotSent),
        ({"MAIL": "drop"}, NotSent),
        ({"MAIL": "hang"}, NotSent),
        ({ADA: "550 no", BOB: "550 no"}, Refused),
        ({ADA: "550 no", BOB: "450 later"}, NotSent),
        ({ADA: "drop"}, NotSent),
        ({"DATA": "554 spam"}, Refused),
        ({"DATA": "452 full"}, NotSent),
        ({"DATA": "299 strange"}, Misread),
        ({"DATA": "hang"}, Unready),
        ({"DATA": "drop"}, Unready),
    ],
    ids=str,
)
def test_an_answer_before_the_content_never_leaves_the_effect_unknown(
    live: LiveRun, mail_server: MailServer, answers: dict[str, str], kind: type[Exception]
) -> None:
    mail_server.answers |= answers
    with pytest.raises(kind) as error:
        send(live, mail_channel(mail_server.port))
    assert type(error.value) is kind
    assert len(mail_server.mails) == ("DATA" in answers)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"to": []}, "at least 1 item"),
        ({"to": ["Ada <ada@company.example>"]}, "is no mail address"),
        ({"to": ["ada@a.example\r\nBcc: eve@b.example"]}, "is no mail address"),
        ({"sender": "nobody"}, "is no mail address"),
        ({"host": "a b"}, "match pattern"),
        ({"user": "ada"}, "'user' and 'password' together"),
        ({"host": "mail.example", **LOGIN}, "would send a password unencrypted"),
        ({"security": "tls"}, "'starttls', 'ssl' or 'none'"),
    ],
    ids=str,
)
def test_a_configuration_that_cannot_work_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        mail_channel(25, **options)
