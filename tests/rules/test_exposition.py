"""What a scrape is answered is read by Prometheus' own client, in both formats, without a loss."""

from __future__ import annotations

import math

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from roundsman.rules.exposition import Family, Format, Point, choose_format, render

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
ODD = 'a "quoted" \\ word\nand a line'
FAMILIES = [
    Family(
        "waits_seconds",
        "histogram",
        "How long",
        (
            Point("_sum", {"org": "a"}, 7.5),
            Point("_bucket", {"org": "a", "le": "+Inf"}, 3.0),
            Point("_bucket", {"org": "a", "le": "10"}, 2.0),
            Point("_bucket", {"org": "a", "le": "1"}, 1.0),
            Point("_count", {"org": "a"}, 3.0),
        ),
    ),
    Family("told_total", "counter", ODD, (Point("", {"word": ODD}, 2.0),)),
    Family("open_now", "gauge", "", (Point("", {}, 0.25),)),
]


@pytest.mark.parametrize(("form", "read"), [("text", read_text), ("openmetrics", read_openmetrics)])
def test_every_number_is_read_back(form: Format, read: object) -> None:
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in read(render(FAMILIES, form))  # type: ignore[operator]
        for sample in family.samples
    }
    assert found == {
        ("open_now", ()): 0.25,
        ("told_total", (("word", ODD),)): 2.0,
        ("waits_seconds_bucket", (("le", "1.0"), ("org", "a"))): 1.0,
        ("waits_seconds_bucket", (("le", "10.0"), ("org", "a"))): 2.0,
        ("waits_seconds_bucket", (("le", "+Inf"), ("org", "a"))): 3.0,
        ("waits_seconds_count", (("org", "a"),)): 3.0,
        ("waits_seconds_sum", (("org", "a"),)): 7.5,
    }


def test_the_text_is_what_prometheus_documents() -> None:
    assert render(FAMILIES[1:]) == (
        "# TYPE open_now gauge\n"
        "open_now 0.25\n"
        '# HELP told_total a "quoted" \\\\ word\\nand a line\n'
        "# TYPE told_total counter\n"
        'told_total{word="a \\"quoted\\" \\\\ word\\nand a line"} 2\n'
    )
    assert render([], "openmetrics") == "# EOF\n"
    assert render([]) == ""


@pytest.mark.parametrize(
    ("value", "spelled"),
    [(math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN"), (3.0, "3"), (0.1, "0.1")],
)
def test_numbers_have_prometheus_spelling(value: float, spelled: str) -> None:
    text = render([Family("x", "gauge", "", (Point("", {}, value),))])
    assert text.splitlines()[1] == f"x {spelled}"


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (PROMETHEUS, "openmetrics"),
        ("", "text"),
        ("*/*", "text"),
        ("text/html", "text"),
        ("application/openmetrics-text", "openmetrics"),
        ("application/openmetrics-text;q=0.3, text/plain;q=0.5", "text"),
        ("application/openmetrics-text;version=0.0.1", "text"),
        ("application/openmetrics-text;q=nonsense", "text"),
        ("application/openmetrics-text; version=1.0.0; q=0.6, text/plain; q=0.5", "openmetrics"),
    ],
)
def test_the_format_is_the_one_that_is_liked_best(accept: str, form: Format) -> None:
    assert choose_format(accept) == form
