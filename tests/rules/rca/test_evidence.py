"""The gate: what is not in the run, word for word, is not said about it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from roundsman.rules.rca.analysis import analyze_run
from roundsman.rules.rca.evidence import (
    Citation,
    Hypothesis,
    cite_run,
    gate,
    quote_from,
    texts_of,
)
from tests.rules.rca.runs import TIMED_OUT, call, guard, insufficient, run_of, step

RUN = run_of(
    step(1, "I look up the order now.\n  no\nAnd then I answer."),
    call(1, **TIMED_OUT),
    guard(1, "other", "answer too long"),
)


def claim(*citations: Citation) -> Hypothesis:
    return Hypothesis(
        category="timeout",
        step_id="s1",
        title="t",
        description="d",
        citations=citations,
        confidence="high",
    )


def cite(kind: Any, ref_id: str, quote: str) -> Citation:
    return Citation(kind=kind, ref_id=ref_id, quote=quote)


@pytest.mark.covers("B-046")
@pytest.mark.parametrize(
    ("citation", "kept"),
    [
        (cite("step", "s1", "look up the order"), 1),
        (cite("step", "s1", "look up the offer"), 0),
        (cite("step", "s9", "look up the order"), 0),
        (cite("guardrail", "s1", "look up the order"), 0),
        (cite("step", "s1", "no"), 1),
        (cite("step", "s1", "the order"), 0),
        (cite("step", "s1", "  "), 0),
        (cite("tool_call", "c1", "Read timed out."), 1),
        (cite("guardrail", "g1", "answer too long"), 1),
        (cite("run", "run", "Read timed out."), 0),
    ],
)
def test_a_citation_stands_only_where_its_words_stand(citation: Citation, kept: int) -> None:
    gated = gate(RUN, [claim(citation)])
    assert (len(gated.kept), gated.dropped) == (kept, 1 - kept)


def test_a_hypothesis_without_evidence_or_with_one_false_citation_is_dropped_and_counted() -> None:
    true, false = cite("tool_call", "c1", "Read timed out."), cite("step", "s1", "I guessed it all")
    gated = gate(RUN, [claim(), claim(true, false), claim(true)])
    assert (gated.kept, gated.dropped) == ((claim(true),), 2)


@pytest.mark.covers("B-047")
def test_what_a_model_proposes_passes_the_same_gate_and_does_not_name_the_category() -> None:
    true = claim(cite("step", "s1", "And then I answer."))
    false = claim(cite("step", "s1", "The disk of the server was full"))
    run = run_of(*[step(n) for n in (1, 2)], call(1), step(3, "And then I answer."))
    analysis = analyze_run(
        run,
        proposed=[
            false,
            true.model_copy(update={"citations": (cite("step", "s3", "And then I answer."),)}),
        ],
    )
    assert analysis.dropped == 1
    assert [one.category for one in analysis.hypotheses] == ["unknown", "timeout"]
    assert analysis.category == "unknown"


@pytest.mark.covers("B-045", "B-047")
def test_without_telemetry_no_proposal_is_taken() -> None:
    proposed = claim(cite("step", "s1", "Processing the request"))
    analysis = analyze_run(insufficient(), proposed=[proposed])
    assert (analysis.hypotheses, analysis.dropped) == ((), 1)
    assert analysis.insufficient_evidence


@pytest.mark.covers("B-087")
@pytest.mark.parametrize("sign", [None, re.compile("needle")])
@pytest.mark.parametrize(
    "text",
    ["", "x", "a\n\nb", "short\nthis line is long enough", "y" * 900, "z" * 500 + " needle " * 90],
)
def test_a_quote_is_short_and_a_part_of_its_text(text: str, sign: re.Pattern[str] | None) -> None:
    quote = quote_from(text, sign)
    assert quote in text
    assert len(quote) <= 200
    assert bool(quote) == bool(text)
    assert len(quote) >= 12 or quote in [line.strip() for line in text.split("\n")]


def test_a_quote_is_the_line_where_the_sign_stands() -> None:
    text = "the first line says nothing\nhere I assume a price\nthe last"
    assert quote_from(text, re.compile("assume")) == "here I assume a price"


def test_an_error_with_line_breaks_is_quoted_as_json_spells_it() -> None:
    run = run_of(error_message='the "disk"\nis full today')
    citation = cite_run(run)
    assert citation is not None
    assert citation.quote == r"the \"disk\"\nis full today"
    assert citation.quote in texts_of(run)["run", "run"]
