"""Which agents and rounds there are, found without loading any of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from roundsman import catalog
from roundsman.catalog import Card
from roundsman.errors import Mistake
from roundsman.settings import get_settings

ROUNDS = """
deployments:
- name: emails-prod
  description: the mails
  entrypoint: flows.watching:watching
  parameters: {params: {days: 3, window: {zone: UTC}}}
  schedules: [{cron: "0 6 * * *", timezone: UTC}]
- name: orders
  entrypoint: flows.watching:watching
- name: orders
  entrypoint: flows.mending:mending
"""


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two agents and an operation on file, three rounds in the list."""
    cards = [
        Card("mending", "1.0.0", "Mend.", (), ("mend",), {}, "flows.mending:mending"),
        Card(
            "watching",
            "2.1.0",
            "Watch.",
            ("read",),
            ("look", "tell"),
            {},
            "flows.watching:watching",
        ),
        Card("probe", "1.0.0", "Probe.", (), ("ask",), {}, "flows.operations.probe:probe", True),
    ]
    file = tmp_path / "agents.json"
    file.write_text(json.dumps([card._asdict() for card in cards]))
    monkeypatch.setattr(catalog, "CARDS_FILE", file)
    (tmp_path / "prefect.yaml").write_text(ROUNDS)
    return tmp_path / "prefect.yaml"


@pytest.mark.covers("A-007", "F17")
def test_cards_are_read_as_they_were_derived(listed: Path) -> None:
    assert [(card.name, card.operation) for card in catalog.cards()] == [
        ("mending", False),
        ("watching", False),
        ("probe", True),
    ]
    assert catalog.find_card("watching").plan == ("look", "tell")


@pytest.mark.covers("A-025")
def test_a_wrong_name_lists_the_agents_that_there_are(listed: Path) -> None:
    with pytest.raises(Mistake) as caught:
        catalog.resolve("unknown_agent", listed)
    assert str(caught.value) == "Invalid agent_type: 'unknown_agent'. Available: mending, watching"


@pytest.mark.covers("A-004")
def test_an_agent_describes_itself(listed: Path) -> None:
    assert catalog.describe("watching") == {
        "name": "watching",
        "version": "2.1.0",
        "description": "Watch.",
        "capabilities": ["read"],
    }


@pytest.mark.covers("A-004", "A-005")
def test_a_plan_has_its_defaults(listed: Path) -> None:
    assert catalog.plan("watching") == {
        "objective": "Watch.",
        "steps": ["look", "tell"],
        "dry_run": True,
        "config": {},
    }
    told = catalog.plan("watching", {"objective": "why", "dry_run": False, "days": 3})
    assert (told["objective"], told["dry_run"], told["config"]) == ("why", False, {"days": 3})


def test_rounds_are_what_prefect_yaml_says(listed: Path) -> None:
    first, *rest = catalog.rounds(listed)
    assert first.full_name == "watching/emails-prod"
    assert first.params == {"days": 3, "window": {"zone": "UTC"}}
    assert first.schedules[0]["cron"] == "0 6 * * *"
    assert first.description == "the mails"
    assert [found.full_name for found in rest] == ["watching/orders", "mending/orders"]


def test_a_name_may_be_an_agent_a_round_or_a_round_alone(listed: Path) -> None:
    assert catalog.resolve("watching", listed) == ("flows.watching:watching", None)
    entrypoint, found = catalog.resolve("mending/orders", listed)
    assert (entrypoint, found and found.full_name) == ("flows.mending:mending", "mending/orders")
    assert catalog.resolve("emails-prod", listed)[1] == catalog.rounds(listed)[0]


def test_a_round_that_two_agents_have_must_be_named_in_full(listed: Path) -> None:
    with pytest.raises(Mistake, match="Invalid agent_type: 'orders'"):
        catalog.resolve("orders", listed)


def test_a_wrong_round_lists_those_of_its_agent(listed: Path) -> None:
    with pytest.raises(Mistake, match="Available: watching/emails-prod, watching/orders"):
        catalog.resolve("watching/x", listed)


def test_no_list_is_no_rounds(tmp_path: Path) -> None:
    assert catalog.rounds(tmp_path / "prefect.yaml") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("deployments: [{name: x}]", "deployment 1"),
        ("deployments: [{name: x, entrypoint: flows/x.py}]", "deployment 1"),
        ("deployments: {a: 1}", "no list of deployments"),
        ("[1]", "no list of deployments"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_broken_list_says_where(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "prefect.yaml"
    path.write_text(text)
    with pytest.raises(Mistake, match=said):
        catalog.rounds(path)


def test_looking_things_up_loads_nothing_heavy() -> None:
    heavy = ["prefect", "pydantic", "sqlalchemy", "yaml", "rich", "roundsman.settings"]
    code = (
        "import sys, roundsman.catalog as c; c.cards();"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_code_version_names_agent_and_product() -> None:
    assert catalog.code_version("1.2.3").startswith("1.2.3 (roundsman 0")


def test_an_agent_that_is_written_but_has_no_card_is_told_to_get_one(
    listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "REPOSITORY", tmp_path)
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "new_agent.py").write_text("")
    with pytest.raises(Mistake, match="make cards"):
        catalog.find_card("new_agent")
    with pytest.raises(Mistake) as caught:
        catalog.find_card("nosuch")
    assert caught.value.remedy == ""


BROKEN = "deployments: [{name: x, entrypoint: 'broken_flow:broken_flow'}]"


@pytest.mark.parametrize("code", ["import nosuch_module", "x = undefined", "def f(:", "1 / 0"])
def test_cards_of_a_flow_that_cannot_be_imported_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: str
) -> None:
    (tmp_path / "broken_flow.py").write_text(code)
    (tmp_path / "prefect.yaml").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ROUNDSMAN_ROUNDS", str(tmp_path / "prefect.yaml"))
    monkeypatch.setattr(catalog, "CARDS_FILE", tmp_path / "agents.json")
    get_settings.cache_clear()
    assert catalog.main() == 2
    get_settings.cache_clear()
    said = capsys.readouterr().err
    assert len(said.strip().splitlines()) == 1
    assert "'broken_flow:broken_flow' cannot be loaded" in said
    assert not catalog.CARDS_FILE.exists()


def test_cards_are_derived_where_the_command_is_given(tmp_path: Path) -> None:
    (tmp_path / "broken_flow.py").write_text("1 / 0")
    (tmp_path / "prefect.yaml").write_text(BROKEN)
    said = subprocess.run(
        [sys.executable, "-m", "roundsman.catalog"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
        env={"ROUNDSMAN_ROUNDS": str(tmp_path / "prefect.yaml"), "HOME": str(tmp_path)},
    )
    assert said.returncode == 2
    assert len(said.stderr.strip().splitlines()) == 1
    assert "'broken_flow:broken_flow' cannot be loaded: ZeroDivisionError" in said.stderr


def test_an_agent_that_was_mistyped_is_told_with_the_one_that_was_meant():
    with pytest.raises(Mistake, match=r"Available: .*; did you mean 'warehouse_health'\?"):
        catalog.resolve("warehouse_helth")
    with pytest.raises(Mistake, match=r"Available: [a-z_, ]*$"):
        catalog.resolve("something_else")
