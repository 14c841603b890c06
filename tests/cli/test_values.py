"""--param and --params-file: what was typed, as a run's parameters."""

import pytest

from roundsman.cli.mail import read_hours
from roundsman.cli.values import read_parameters
from roundsman.errors import Mistake


@pytest.mark.parametrize(
    ("pair", "params"),
    [
        ("days=7", {"days": 7}),
        ("search=prod", {"search": "prod"}),
        ("dry_run=false", {"dry_run": False}),
        ("es.index=emails-*", {"es": {"index": "emails-*"}}),
        (
            "dbt.models=[tag:daily, tag:critical]",
            {"dbt": {"models": ["tag:daily", "tag:critical"]}},
        ),
        ("transform=null", {"transform": None}),
        ("since=2026-11-01", {"since": "2026-11-01"}),
        ("objective=a=b", {"objective": "a=b"}),
        ("objective=", {"objective": None}),
    ],
)
def test_a_pair_is_yaml_below_its_key(pair, params):
    assert read_parameters([pair], None) == params


def test_pairs_go_over_the_file(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text("days: 7\nes: {index: a, days: 2}\n")
    assert read_parameters(["days=8", "es.index=b"], file) == {
        "days": 8,
        "es": {"index": "b", "days": 2},
    }


def test_the_file_may_be_json(tmp_path):
    file = tmp_path / "p.json"
    file.write_text('{"days": 7}')
    assert read_parameters([], file) == {"days": 7}


@pytest.mark.parametrize("pair", ["days", "=7", "a=[", "a=1: b: 2"])
def test_a_malformed_pair_is_a_mistake(pair):
    with pytest.raises(Mistake):
        read_parameters([pair], None)


def test_a_key_cannot_lead_into_a_value():
    with pytest.raises(Mistake, match=r"a\.b"):
        read_parameters(["a=1", "a.b=2"], None)


@pytest.mark.parametrize("content", [b"- a", b"\xff\xfe", b"a: ["])
def test_a_file_without_a_mapping_is_a_mistake(tmp_path, content):
    file = tmp_path / "p.yaml"
    file.write_bytes(content)
    with pytest.raises(Mistake, match="p.yaml"):
        read_parameters([], file)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(Mistake, match="absent.yaml"):
        read_parameters([], tmp_path / "absent.yaml")


@pytest.mark.parametrize(("typed", "hours"), [("14d", 336), ("12h", 12), ("2w", 336), ("0.5d", 12)])
def test_a_stretch_of_time_is_read(typed, hours):
    assert read_hours(typed) == hours


@pytest.mark.parametrize("typed", ["14", "d", "-1d", "0d", "14 days", ""])
def test_anything_else_is_no_stretch_of_time(typed):
    with pytest.raises(Mistake):
        read_hours(typed)


def test_the_remedy_for_a_malformed_pair_repeats_what_was_typed():
    with pytest.raises(Mistake, match="write --param mails=7"):
        read_parameters(["mails"], None)


@pytest.mark.parametrize(
    "words",
    [
        ("-p", "days"),
        ("--params-file", "/nowhere/params.yaml"),
        ("--fail-on", "nosuch"),
    ],
)
def test_what_cannot_even_be_asked_for_is_refused_with_an_audit_row(roundsman, words):
    said = roundsman("run", "warehouse_health", *words, "--json")
    assert said.code == 2
    assert said.document["status"] == "refused"
    row = roundsman("show", said.document["run_id"], "--json").document
    assert (row["agent_type"], row["status"]) == ("warehouse_health", "refused")
    assert words[1] in row["error"]["message"]
