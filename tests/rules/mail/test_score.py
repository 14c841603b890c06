"""The score is bounded, the same every time, and the sum of what it shows; nothing breaks it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roundsman.rules.mail.message import MAIL_BYTES_MAX, read_message
from roundsman.rules.mail.score import (
    POINTS_PER_UNIT,
    RiskLevel,
    judge_content,
    level_of,
    score_of,
)
from roundsman.rules.mail.weights import START
from tests.rules.mail.letters import GENUINE, IMPOSTOR

MAILS = (GENUINE, IMPOSTOR)


def check(content: bytes) -> None:
    risk = judge_content(content)
    assert 0 <= risk.score <= 100
    assert risk == judge_content(content)
    assert risk.raw == START + sum(signal.points for signal in risk.signals)
    readable = read_message(content).readable
    for signal in risk.signals:
        assert signal.evidence, signal.name
        assert signal.evidence in readable, signal


@pytest.mark.covers("A-049")
@settings(max_examples=60, deadline=None)
@given(st.sampled_from(MAILS), st.data())
def test_cut_and_flipped_mails_are_judged(mail: bytes, data: st.DataObject):
    content = bytearray(mail[: data.draw(st.integers(0, len(mail)))])
    for _ in range(data.draw(st.integers(0, 8))):
        if content:
            at = data.draw(st.integers(0, len(content) - 1))
            content[at] ^= 1 << data.draw(st.integers(0, 7))
    check(bytes(content))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_judged(content: bytes):
    check(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"From: <<<@>>>\n\n",
        b"From: =?x?b?!!!?=\nSubject: =?utf-8?b?A?=\n\nx",
        b"Content-Type: text/html; charset=nonsense\n\n<a href='http://[bad'>x</a><![x",
        b"Content-Type: multipart/mixed; boundary=a\n\n--a\n" * 200,
        b"Subject: " + b"a.b-" * 300_000 + b"\n\n",
        b"Content-Type: text/html\n\n" + b"<div><a href=x>" * 100_000,
        b"\n\n" + b"1,000" * 2_000_000,
    ],
    ids=["empty", "from", "words", "markup", "deep", "long subject", "open tags", "ten megabytes"],
)
def test_hostile_mails_are_judged(content: bytes):
    check(content)


def test_what_is_not_read_is_a_finding():
    assert "larger than what is read" in read_message(b"\n\n" + b"x" * MAIL_BYTES_MAX).defects


def test_a_genuine_password_reset_is_wanted_and_an_impostors_is_not():
    assert not judge_content(GENUINE).unwanted
    assert judge_content(IMPOSTOR).unwanted
    assert judge_content(IMPOSTOR).level is RiskLevel.CRITICAL


@pytest.mark.covers("A-050")
@pytest.mark.parametrize(
    ("score", "level"),
    [(0, "SAFE"), (19.9, "SAFE"), (20, "LOW"), (40, "MEDIUM"), (60, "HIGH"), (80, "CRITICAL")],
)
def test_levels_begin_at_their_thresholds(score: float, level: str):
    assert level_of(score) == level


def test_more_points_never_score_less():
    scores = [score_of(raw) for raw in range(-900, 900)]
    assert scores == sorted(scores)
    assert score_of(0) == 50
    assert score_of(int(POINTS_PER_UNIT)) > score_of(0)
