"""Mails written for the tests."""

from __future__ import annotations

PASS = "mx.home.example; spf=pass smtp.mailfrom={0}; dkim=pass header.d={0}; dmarc=pass"
FAIL = "mx.home.example; spf=fail smtp.mailfrom=x.example; dkim=none; dmarc=fail header.from={0}"


def letter(
    sender: str, subject: str, body: str, *, headers: str = "", kind: str = "text/html"
) -> bytes:
    """A whole mail of one part."""
    domain = sender.rpartition("@")[2].strip("> ")
    given = headers or f"Authentication-Results: {PASS.format(domain)}\n"
    head = f"From: {sender}\nTo: ann@home.example\nSubject: {subject}\n{given}"
    return f"{head}Content-Type: {kind}; charset=utf-8\n\n{body}\n".encode()


RESET = '<p>You asked to reset your password.</p><a href="https://{0}/reset/1">Reset password</a>'
GENUINE = letter("Acme <no-reply@acme.com>", "Reset your password", RESET.format("acme.com"))
IMPOSTOR = letter(
    "Acme Support <no-reply@acme.account-verify.top>",
    "Urgent: verify your account!",
    RESET.format("acme.account-verify.top"),
    headers=f"Authentication-Results: {FAIL.format('acme.account-verify.top')}\n",
)
