"""What watches the agents asks for numbers that are really told, and calls when it should."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.monitoring.dashboards import DASHBOARDS, FOLDER, Panel, text_of
from docs.reference import commands_page
from roundsman.metrics import DECLARED, GAUGES, Histogram

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deployments/monitoring"
CASES = Path(__file__).with_name("rules.yml")
# Of the language itself.
WORDS = {
    *("sum", "by", "rate", "increase", "min", "max", "time", "histogram_quantile", "absent"),
    *("offset", "or"),
}
HOUSE = {
    *("agent_runs_total", "agent_run_duration_seconds", "agent_actions_total"),
    *("step_retries_total", "custom_operations_total"),
}
PANELS = [panel for dashboard in DASHBOARDS for panel in dashboard.panels]


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def rules(name: str) -> list[dict[str, Any]]:
    groups = load(MONITORING / "rules" / f"{name}.yml")["groups"]
    return [rule for group in groups for rule in group["rules"]]


def exported() -> set[str]:
    """Every name that a scrape or a recording rule gives; `up` is Prometheus' own."""
    histograms = {name for name, metric in DECLARED.items() if isinstance(metric, Histogram)}
    parts = {name + part for name in histograms for part in ("_bucket", "_sum", "_count")}
    records = {rule["record"] for rule in rules("recording")}
    return {*GAUGES, *(DECLARED.keys() - histograms), *parts, *records, "up"}


def names_in(expression: str) -> set[str]:
    """The metrics that an expression asks for."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]|\b(by|offset) ?(\([^)]*\)|\w+)', " ", expression)
    bare = bare.replace("$__rate_interval", "").replace("$__range", "")
    return set(re.findall(r"[a-z_][a-z0-9_:]*", bare)) - WORDS


def filled(expression: str) -> str:
    """An expression as Grafana sends it."""
    for name, value in [("$__rate_interval", "5m"), ("$__range", "24h")]:
        expression = expression.replace(name, value)
    return re.sub(r"\$\w+", ".*", expression)


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_house_declares_these_and_no_others() -> None:
    code = "from roundsman.metrics import DECLARED; print(*sorted(DECLARED))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(told.stdout.split()) == HOUSE


def test_the_names_in_an_expression_are_found() -> None:
    assert names_in('sum by (a) (rate(x_total{b="c"}[5m])) - y:z offset 1d') == {"x_total", "y:z"}


@pytest.mark.parametrize("rule", [*rules("recording"), *rules("alerts")], ids=str)
def test_rules_ask_for_what_is_told(rule: dict[str, Any]) -> None:
    assert names_in(rule["expr"])
    assert names_in(rule["expr"]) <= exported()


@pytest.mark.covers("A-092")
@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_panels_ask_for_what_is_told(panel: Panel) -> None:
    for expression in panel.queries.values():
        assert names_in(expression)
        assert names_in(expression) <= exported()


@pytest.mark.covers("A-092", "D-079")
@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.name)
def test_a_dashboards_file_is_what_its_code_says(dashboard: Any) -> None:
    path = FOLDER / f"{dashboard.name}.json"
    said = "run `python -m deployments.monitoring.dashboards`"
    assert path.read_text() == text_of(dashboard), said
    page = json.loads(path.read_text())
    assert page["uid"] == f"roundsman-{dashboard.name}"
    taken = [panel["gridPos"] for panel in page["panels"]]
    cells = [(at["x"] + dx, at["y"]) for at in taken for dx in range(at["w"])]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_the_folder_holds_no_other_dashboard() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {one.name for one in DASHBOARDS}


@pytest.mark.covers("G-A1")
def test_the_panels_that_were_asked_for_are_there() -> None:
    titles = " ".join(panel.title for panel in PANELS).lower()
    for word in ("runs per", "success", "duration", "recent failures", "parity", "freshness"):
        assert word in titles
    for word in ("search against warehouse", "remediations"):
        assert word in titles
    gauge = next(panel for panel in PANELS if panel.kind == "gauge")
    assert gauge.colours == ((None, "red"), (90, "yellow"), (95, "green"))


@pytest.mark.covers("A-088", "A-089", "G-A1")
def test_thresholds_and_patience_are_those_of_the_specification() -> None:
    told = {rule["alert"]: (rule["expr"].split()[-1], rule["for"]) for rule in rules("alerts")}
    assert told["HighAgentFailureRate"] == ("0.1", "10m")
    assert told["SlowAgentExecution"] == ("60", "5m")
    assert told["CriticalAgentFailureRate"] == ("0.5", "5m")
    assert told["NoAgentRuns"][1] == "1h"
    assert told["WarehouseParityDegraded"][1] == "15m"
    assert told["WarehouseFreshnessSLOViolated"][1] == "30m"


@pytest.mark.covers("G-A1")
def test_alertmanager_waits_and_repeats_as_asked_and_knows_its_receivers() -> None:
    told = load(MONITORING / "alertmanager.yml")
    route = told["route"]
    waits = (route["group_wait"], route["group_interval"], route["repeat_interval"])
    assert waits == ("10s", "5m", "4h")
    known = {receiver["name"] for receiver in told["receivers"]}
    assert {route["receiver"], *(one["receiver"] for one in route["routes"])} <= known
    matchers = [text for rule in told["inhibit_rules"] for text in rule["target_matchers"]]
    alerts = {rule["alert"] for rule in rules("alerts")}
    assert all(re.fullmatch(r'alertname="(\w+)"', text)[1] in alerts for text in matchers)  # type: ignore[index]


def test_alerts_send_people_to_commands_that_exist() -> None:
    page = commands_page()
    for rule in rules("alerts"):
        for told in re.findall(r"`(roundsman [a-z ]+?)(?: --[^`]*)?`", str(rule["annotations"])):
            assert f"## `{told}`" in page


def test_every_rule_has_a_case_and_every_alert_one_before_its_time_or_one_that_is_silent() -> None:
    cases = load(CASES)["tests"]
    asked = " ".join(one["expr"] for case in cases for one in case.get("promql_expr_test", []))
    assert all(rule["record"] in asked for rule in rules("recording"))
    told = [one for case in cases for one in case.get("alert_rule_test", [])]
    for rule in rules("alerts"):
        outcomes = {bool(one["exp_alerts"]) for one in told if one["alertname"] == rule["alert"]}
        assert outcomes == {True, False}, rule["alert"]


@pytest.mark.covers("A-087")
def test_the_queries_of_the_guide_are_among_the_cases() -> None:
    page = (ROOT / "docs/guides/monitoring.md").read_text()
    queries = [
        line
        for line in re.findall(r"```promql\n(.*?)```", page, re.S)[0].splitlines()
        if not line.startswith("#")
    ]
    asked = {
        one["expr"] for case in load(CASES)["tests"] for one in case.get("promql_expr_test", [])
    }
    assert len(queries) == 4
    assert set(queries) <= asked


def test_the_guide_tells_every_number_and_every_alert() -> None:
    page = (ROOT / "docs/guides/monitoring.md").read_text()
    alerts = {rule["alert"] for rule in rules("alerts")}
    # Those of the warehouse share a line.
    names = {name for name in GAUGES if not name.startswith("warehouse_")} | HOUSE
    assert {name for name in names if f"`{name}`" not in page} == set()
    assert {name for name in alerts if f"| {name} |" not in page} == set()


@pytest.mark.needs("promtool")
@pytest.mark.covers("A-087", "A-088", "A-089", "G-A1")
def test_rules_call_when_they_should() -> None:
    assert "SUCCESS" in promtool("test", "rules", CASES)


@pytest.mark.needs("promtool")
def test_prometheus_accepts_its_configuration_and_every_panel(tmp_path: Path) -> None:
    assert "2 rule files found" in promtool("check", "config", MONITORING / "prometheus.yml")
    asked = [filled(expr) for panel in PANELS for expr in panel.queries.values()]
    named = [{"record": f"panel_{number}", "expr": expr} for number, expr in enumerate(asked)]
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": named}]}))
    assert f"{len(asked)} rules found" in promtool("check", "rules", path)
