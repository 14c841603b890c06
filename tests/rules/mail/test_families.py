"""Each family of mail signals finds its trick, quotes it, and is silent without it."""

import pytest

from roundsman.rules.mail.message import read_message
from roundsman.rules.mail.relationship import Relation
from roundsman.rules.mail.score import find_signals
from tests.rules.mail.letters import FAIL, GENUINE, letter


def names(content: bytes, relation: Relation | None = None) -> set[str]:
    return {name for _, name, _ in find_signals(read_message(content), relation)}


ACME = "Acme <news@acme.com>"
CASES = {
    "dmarc_fails": letter(
        ACME, "Hi", "x", headers=f"Authentication-Results: {FAIL.format('acme.com')}\n"
    ),
    "name_of_another_brand": letter("PayPal <a@shop.example>", "Hi", "x"),
    "free_mail_for_an_office": letter("Security Team <jo3@gmail.com>", "Hi", "x"),
    "domain_looks_alike": letter("Heroku <bot@her0ku-support.com>", "Hi", "x"),
    "sender_has_risky_tld": letter("Ann <ann@post.tk>", "Hi", "x"),
    "sender_is_invalid": letter("Ann <ann@%nobody.com>", "Hi", "x"),
    "label_shows_another_host": letter(
        ACME, "Hi", '<a href="https://bad.example/x">https://www.bank.example</a>'
    ),
    "link_is_short": letter(ACME, "Hi", '<a href="https://bit.ly/abc">More</a>'),
    "link_to_address": letter(ACME, "Hi", '<a href="http://192.0.2.7/x">More</a>'),
    "link_in_punycode": letter(ACME, "Hi", '<a href="http://xn--pypal-4ve.example/">More</a>'),
    "asks_for_credentials": letter(ACME, "Hi", "<p>Please verify your account</p>"),
    "verify_with_account": letter(ACME, "Hi", "<p>Verify it: your account</p>"),
    "says_keywords": letter(ACME, "Urgent", "<p>Your password: login or suspend</p>"),
    "hidden_text": letter(ACME, "Hi", f'<div style="display:none">{"word " * 60}</div>x'),
    "scripts_mixed": letter(ACME, "Hi", "<p>p\u0430ypal</p>"),
    "invisible_in_subject": letter(ACME, "Pay\u200bpal", "x"),
    "reply_to_nothing": letter(ACME, "Re: your order", "<p>Here it is</p>"),
    "recipient_in_subject": letter(ACME, "ann@home.example, you won", "x"),
    "platform_carries_a_lure": letter("Notice <a@p.firebaseapp.com>", "Free bitcoin", "x"),
    "labelled_spam": letter(ACME, "Hi", "x", headers="X-Gmail-Labels: Spam,Unread\n"),
    "domain_is_allowed": letter("GitHub <noreply@github.com>", "Hi", "x"),
}


@pytest.mark.covers("A-052", "A-053", "A-054", "A-055", "A-056")
def test_every_trick_is_found_and_a_plain_mail_has_none_of_them():
    plain = names(letter(ACME, "Lunch on Friday", "<p>See you at noon.</p>"))
    for name, content in CASES.items():
        assert name in names(content), name
        assert name not in plain, name


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("Bitte geben Sie Ihr Passwort ein", "asks_for_credentials"),
        ("Confirmez votre mot de passe", "asks_for_credentials"),
        ("Actualice su contrase\u00f1a", "asks_for_credentials"),
        ("Atualize sua senha", "asks_for_credentials"),
        ("Uw wachtwoord", "asks_for_credentials"),
        ("Verifica il tuo conto", "asks_for_credentials"),
        ("You have won a car", "promises_a_prize"),
        ("Sua encomenda foi retida", "speaks_of_a_delivery"),
    ],
)
def test_intents_are_understood_in_seven_languages(text: str, intent: str):
    assert intent in names(letter(ACME, "Hi", text, kind="text/plain"))


def test_an_attachment_is_judged_by_its_name():
    kind = 'multipart/mixed; boundary="b"'
    part = "Content-Disposition: attachment; filename={}\n\nx"
    body = f"--b\n\nHello\n--b\n{part.format('bill.pdf.exe')}\n--b--"
    found = names(letter(ACME, "Hi", body, kind=kind).replace(b"; charset=utf-8", b""))
    assert {"attached_program", "attached_with_two_endings"} <= found


def test_the_allowlist_counts_only_when_authenticated():
    forged = f"Authentication-Results: {FAIL.format('github.com')}\n"
    mail = letter("GitHub <noreply@github.com>", "Hi", "x", headers=forged)
    assert "domain_is_allowed" not in names(mail)
    allowed = Relation(allowed=frozenset({"github.com"}))
    assert "sender_is_allowed" not in names(mail, allowed)


def test_what_the_caller_knows_of_the_sender_counts():
    assert "sender_is_new" in names(GENUINE, Relation(wrote_before=False))
    assert {"sender_is_known", "sender_was_answered"} <= names(GENUINE, Relation(True, True))
    assert "sender_is_denied" in names(GENUINE, Relation(denied=frozenset({"acme.com"})))
