"""The words of messages: clean, bounded, without secrets, and by templates that can only show."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundsman.rules.messages import (
    DETAILS_BYTES_MAX,
    REASONS_MAX,
    TEXT_CHARACTERS_MAX,
    TITLE_CHARACTERS_MAX,
    Event,
    Link,
    Message,
    Templates,
    Topic,
    check_template,
    compose,
    render,
)
from roundsman.rules.plain_text import clean_line, clean_text, cut
from roundsman.rules.reasons import Reason
from roundsman.rules.redaction import forget_secrets, register_secret
from roundsman.rules.templates import TEMPLATE_CHARACTERS_MAX, TemplateFault

AT = datetime(2026, 5, 4, 10, 30, tzinfo=UTC)


def topic(**changed: Any) -> Topic:
    """A finding that opened."""
    fields: dict[str, Any] = {
        "event": "opened",
        "severity": "high",
        "said": "132 mails are missing in the warehouse",
        "agent": "warehouse_health",
        "round": "emails-prod",
        "subject": "emails-* and analytics.emails",
        "kind": "parity",
        "run_id": "9a1b",
        "fingerprint": "ab12cd34",
        "owner": "data-team",
        "occasion": "2026-05-04T10:30:00Z",
        "opened_at": AT,
        "at": AT,
        "reasons": (Reason(signal="missing", value=132, quote="132 keys of 3,920 are missing"),),
    }
    return Topic(**(fields | changed))


def message(**changed: Any) -> Message:
    """A message of few words."""
    fields: dict[str, Any] = {
        "id": "1",
        "title": "title",
        "severity": "info",
        "event": "report",
        "source": "agent",
        "at": AT,
    }
    return Message(**(fields | changed))


@pytest.mark.covers("A-110")
def test_a_message_says_what_where_why_since_when_and_whose_it_is() -> None:
    told = compose(topic())
    assert told.title == "[high] 132 mails are missing in the warehouse"
    assert told.text.splitlines() == [
        "About: emails-* and analytics.emails",
        "- 132 keys of 3,920 are missing",
        "Since: 2026-05-04 10:30 UTC",
        "Owner: data-team",
        "Seen by warehouse_health/emails-prod at 2026-05-04 10:30 UTC, run 9a1b",
        "More: roundsman findings show ab12cd34",
    ]
    assert (told.dedup_key, told.source) == ("ab12cd34", "warehouse_health/emails-prod")


def test_what_is_not_known_leaves_no_empty_line() -> None:
    bare = Topic(event="report", severity="info", said="all is well", agent="hourly", at=AT)
    assert compose(bare).title == "all is well"
    assert compose(bare).text == "Seen by hourly at 2026-05-04 10:30 UTC"


def test_of_a_problem_that_is_over_the_end_was_seen_and_not_the_problem() -> None:
    lines = compose(topic(event="resolved")).text.splitlines()
    assert "Found gone by warehouse_health/emails-prod at 2026-05-04 10:30 UTC, run 9a1b" in lines


def test_a_request_says_what_exactly_why_until_when_and_how_to_answer() -> None:
    asked = topic(
        event="asked",
        what="selectors [], full_refresh false",
        action_id="ab12cd34ef56",
        expires_at=AT,
        approvers="ada@example.com, bob@example.com",
        fingerprint="",
    )
    assert compose(asked).text.splitlines() == [
        "To be done: selectors [], full_refresh false",
        "- 132 keys of 3,920 are missing",
        "Answer: roundsman approvals approve ab12cd34ef56, or deny ab12cd34ef56",
        "Who may answer: ada@example.com, bob@example.com",
        "Until: 2026-05-04 10:30 UTC",
        "Asked for by warehouse_health/emails-prod at 2026-05-04 10:30 UTC, run 9a1b",
    ]


@pytest.mark.parametrize(
    ("event", "title"),
    [
        ("opened", "[high] it broke"),
        ("worsened", "[high, worse than before] it broke"),
        ("reopened", "[high, again] it broke"),
        ("reminder", "[high, still] it broke"),
        ("acknowledged", "[acknowledged] it broke"),
        ("resolved", "[resolved] it broke"),
        ("asked", "[asked] it broke"),
        ("report", "it broke"),
    ],
)
def test_each_event_has_words_of_its_own(event: Event, title: str) -> None:
    assert compose(topic(event=event, said="it broke")).title == title


def test_the_same_event_on_the_same_occasion_is_the_same_message_whichever_run_tells_it() -> None:
    one = compose(topic())
    assert compose(topic(run_id="another", times_seen=7)).id == one.id
    for changed in ({"event": "resolved"}, {"occasion": "later"}, {"fingerprint": "ff"}):
        assert compose(topic(**changed)).id != one.id


def test_more_reasons_than_are_read_are_counted() -> None:
    reasons = tuple(Reason(signal="s", value=n, quote=f"quote {n}") for n in range(REASONS_MAX + 5))
    text = compose(topic(reasons=reasons)).text
    assert f"- quote {REASONS_MAX - 1}\n- and 5 more\n" in text


def test_words_of_ones_own_take_the_place_of_ours() -> None:
    mine = Templates(
        title="{{ severity|upper }} {{ subject }}{% if event == 'resolved' %} is well{% endif %}",
        text="{% for r in reasons %}{{ loop.index }}. {{ r.quote }} ({{ r.value }})\n{% endfor %}",
    )
    told = compose(topic(event="resolved"), mine)
    assert told.title == "HIGH emails-* and analytics.emails is well"
    assert told.text == "1. 132 keys of 3,920 are missing (132)"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ subjct }}", "the title template names the unknown field 'subjct'; known: action_id"),
        ("{% if event == 'resolved' %}{{ nope }}{% endif %}", "unknown field 'nope'"),
        ("{% for r in reasons %}{{ r.qoute }}{% endfor %}", "has no attribute 'qoute'"),
        ("{{ reasons[0].quote }}", "the title template fails: list object has no element 0"),
        ("{{ said", "does not compile in line 1"),
        ("{% if said %}", "does not compile"),
        ("{{ said|shout }}", "No filter named 'shout'"),
        ("{{ said > 3 }}", "the title template fails: '>' not supported"),
        ("{% set x = said %}{{ x }}", "may not use 'assign' (line 1)"),
        ("{{ said.upper() }}", "may not use 'call'"),
        ("\n{{ said * 1000000000 }}", "may not use 'mul' (line 2)"),
        ("{{ '%1000000000d' % 1 }}", "may not use 'mod'"),
        ("{{ said|replace('a', said) }}", "No filter named 'replace'"),
        ("{% include 'systems.yaml' %}", "may not use 'include'"),
        ("{% import 'os' as os %}", "may not use 'import'"),
        ("{% macro m() %}{% endmacro %}", "may not use 'macro'"),
        ("{{ said.__class__.__mro__ }}", "is unsafe"),
        ("{% for a in said %}{% for b in said %}{% for c in said %}", "does not compile"),
        (
            "{% for a in said %}" * 3 + "{% endfor %}" * 3,
            "the title template nests more than 2 loops",
        ),
        ("{{ " + "(" * 3000 + "said" + ")" * 3000 + " }}", "does not compile"),
        ("x" * (TEMPLATE_CHARACTERS_MAX + 1), "is longer than 10000 characters"),
    ],
)
def test_a_template_that_is_wrong_or_does_more_than_show_is_a_fault(
    template: str, said: str
) -> None:
    with pytest.raises(TemplateFault) as fault:
        check_template(template, "title")
    assert said in str(fault.value)


def test_a_template_cannot_fill_the_memory() -> None:
    twice = "{% for a in said %}{% for b in said %}" + "x" * 1_000 + "{% endfor %}{% endfor %}"
    told = compose(topic(said="y" * 500), Templates(text=twice))
    assert len(told.text) <= TEXT_CHARACTERS_MAX
    assert "(cut, " in told.text


def test_a_template_that_fails_on_real_words_does_not_lose_the_news() -> None:
    # Well with the samples, in which nothing was seen so often.
    title = "{% if times_seen > 5 %}{{ said > 3 }}{% else %}{{ said }}{% endif %}"
    check_template(title, "title")
    told = compose(topic(times_seen=6), Templates(title=title))
    assert told.title == "[high] 132 mails are missing in the warehouse"
    last = told.text.splitlines()[-1]
    assert last.startswith("(title_template: the title template fails: '>' not supported")


def test_a_title_of_nothing_is_replaced() -> None:
    assert compose(topic(), Templates(title="{% if kind == 'x' %}x{% endif %}")).title == "opened"
    with pytest.raises(ValueError, match="a message needs a title"):
        message(title=" \x00\u202e\n")


def test_no_secret_leaves_in_a_message() -> None:
    register_secret("hunter-of-the-night")
    try:
        told = compose(
            topic(
                said="cannot log in with hunter-of-the-night",
                subject="postgresql://ann:s3cret@db/x",
                reasons=(Reason(signal="s", value="x", quote="password=geheim123"),),
                details={"password": "geheim123", "url": "https://a:b3c4@host/"},
            )
        )
    finally:
        forget_secrets()
    whole = told.model_dump_json()
    for secret in ("hunter", "s3cret", "geheim123", "b3c4"):
        assert secret not in whole


def test_words_of_others_are_plain_and_bounded() -> None:
    told = message(
        title="a\r\nb\x00\x1b[31m\u202ec\u2028d" + "e" * 1_000,
        text="one\r\ntwo\x07\u200f\ud800three\ttab" + "x" * 100_000,
    )
    assert told.title.startswith("a b[31mc deee")
    assert len(told.title) == TITLE_CHARACTERS_MAX
    assert told.title.endswith("... (cut, 1014 characters)")
    assert told.text.startswith("one\ntwothree\ttabx")
    assert len(told.text) == TEXT_CHARACTERS_MAX
    assert told.text.endswith("characters)")


def test_details_that_are_too_large_are_named_and_left_out() -> None:
    told = message(details={"rows": ["x" * 100] * 1_000})
    assert list(told.details) == ["cut"]
    assert str(DETAILS_BYTES_MAX) in told.details["cut"]
    assert message(details={"at": AT, "n": 1}).details == {"at": str(AT), "n": 1}


@pytest.mark.parametrize("name", ["", "a b", "a.b", "a\n", "x" * 129, "<a>"])
def test_an_id_fits_into_every_header(name: str) -> None:
    with pytest.raises(ValueError):
        message(id=name)


@given(st.text(max_size=400), st.integers(60, 120))
def test_cleaning_is_bounded_and_done_once(text: str, most: int) -> None:
    for clean in (clean_text, clean_line):
        once = clean(text, most)
        assert len(once) <= most
        assert clean(once, most) == once
        once.encode()
    assert "\n" not in clean_line(text, most)
    assert len(cut(text, most)) <= most


@given(st.text(max_size=300), st.text(max_size=300), st.sampled_from(get_args(Event)))
def test_whatever_a_finding_says_it_becomes_a_message(said: str, subject: str, event: Any) -> None:
    told = compose(topic(said=said, subject=subject, event=event))
    assert Message.model_validate(told.model_dump(mode="json")) == told
    assert "\n" not in told.title


def test_links_are_bounded_and_rendered() -> None:
    links = tuple(Link(text=f"page {n}", url=f"https://host.example/{n}") for n in range(12))
    assert len(compose(topic(links=links)).links) == 10
    template = "{% for link in links %}{{ link.text }} {{ link.url }};{% endfor %}"
    assert render(template, topic(links=links[:1])) == "page 0 https://host.example/0;"
