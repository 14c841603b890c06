"""Which panels the Grafana dashboards have: run it to write their JSON anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

FOLDER = Path(__file__).parent / "grafana" / "dashboards"
# Grafana's grid is 24 units wide; a unit is about 30 pixels high.
COLUMNS, HEIGHT = 24, 8
SOURCE = {"type": "prometheus", "uid": "${source}"}
OF_AGENT = 'org=~"$org", agent_type=~"$agent"'
OF_ROUND = 'org=~"$org", round=~"$round"'
Json = dict[str, Any]


class Panel(NamedTuple):
    """One picture: expressions with what each is called in it."""

    title: str
    kind: Literal["timeseries", "gauge", "stat", "table"]
    queries: dict[str, str]
    unit: str = "short"
    said: str = ""
    width: int = 12
    # From which value on it has which colour.
    colours: tuple[tuple[float | None, str], ...] = ((None, "green"),)


class Dashboard(NamedTuple):
    """One page: its file, its title, the labels that it can be narrowed by, its panels."""

    name: str
    title: str
    variables: dict[str, str]
    panels: tuple[Panel, ...]


DURATION = (
    "histogram_quantile({}, sum by (agent_type, le)"
    f" (rate(agent_run_duration_seconds_bucket{{{{{OF_AGENT}}}}}[$__rate_interval])))"
)
WAITING = ((None, "green"), (1, "yellow"))
UNKNOWN = ((None, "green"), (1, "red"))


def _grown(series: str, by: str, window: str) -> str:
    """How much a total has grown; unlike increase() it sees a series' first number, exactly.

    Totals are rows of the ledger: they never begin anew.
    """
    now = f"sum by ({by}) ({series})"
    return f"{now} - (sum by ({by}) ({series} offset {window}) or {now} * 0)"


SUCCESS = (
    f'sum(increase(agent_runs_total{{status="success", {OF_AGENT}}}[$__range]))'
    f" / sum(increase(agent_runs_total{{{OF_AGENT}}}[$__range])) * 100"
)

AGENTS = Dashboard(
    "agents",
    "Roundsman: agents",
    {"org": "agent_runs_total, org", "agent": "agent_runs_total, agent_type"},
    (
        Panel(
            "Runs per minute",
            "timeseries",
            {
                "{{agent_type}} {{status}}": "sum by (agent_type, status)"
                f" (rate(agent_runs_total{{{OF_AGENT}}}[$__rate_interval])) * 60"
            },
        ),
        Panel(
            "Success in this range",
            "gauge",
            {"success": SUCCESS},
            unit="percent",
            said="Below 90 red, below 95 yellow; cancelled runs count as runs.",
            width=6,
            colours=((None, "red"), (90, "yellow"), (95, "green")),
        ),
        Panel(
            "Ledger",
            "stat",
            {"up": "min(roundsman_ledger_up)"},
            said="1: the ledger could be read for the last scrape.",
            width=6,
            colours=((None, "red"), (1, "green")),
        ),
        Panel(
            "Duration",
            "timeseries",
            {f"{{{{agent_type}}}} p{int(q * 100)}": DURATION.format(q) for q in (0.5, 0.95, 0.99)},
            unit="s",
        ),
        Panel(
            "Failure and success rate over 5 minutes",
            "timeseries",
            {
                "{{agent_type}} success": f"agent:success_rate:5m{{{OF_AGENT}}}",
                "{{agent_type}} failure": f"agent:failure_rate:5m{{{OF_AGENT}}}",
            },
            unit="percentunit",
            said="From the recording rules, which the alerts use too.",
        ),
        Panel(
            "Recent failures",
            "table",
            {
                "failures": _grown(
                    f'agent_runs_total{{status="failed", {OF_AGENT}}}', "org, agent_type", "24h"
                )
                + " > 0"
            },
            said="Failed, crashed or timed out in 24 hours; `roundsman history` has the reasons.",
            width=8,
        ),
        Panel(
            "Hours since a round succeeded",
            "table",
            {
                "hours": "(time() - max by (org, agent_type, round)"
                f" (agent_last_success_timestamp_seconds{{{OF_AGENT}}})) / 3600"
            },
            width=8,
        ),
        Panel(
            "Open runs",
            "timeseries",
            {
                "{{agent_type}} {{status}}": "sum by (agent_type, status)"
                f" (agent_runs_open{{{OF_AGENT}}})"
            },
            width=8,
        ),
        Panel(
            "Waiting for a person",
            "stat",
            {"{{org}}": 'sum by (org) (agent_approvals_waiting{org=~"$org"})'},
            width=6,
            colours=WAITING,
        ),
        Panel(
            "Unknown actions",
            "stat",
            {"{{org}}": 'sum by (org) (agent_actions_unknown{org=~"$org"})'},
            said="Nobody knows whether they took place: look, then `roundsman actions settle`.",
            width=6,
            colours=UNKNOWN,
        ),
        Panel(
            "Open findings",
            "timeseries",
            {"{{severity}}": 'sum by (severity) (agent_findings_open{org=~"$org"})'},
            width=12,
        ),
        Panel(
            "Actions",
            "timeseries",
            {
                "{{action}} {{outcome}}": "sum by (action, outcome)"
                ' (increase(agent_actions_total{org=~"$org"}[$__rate_interval]))'
            },
            width=8,
        ),
        Panel(
            "Retried steps",
            "timeseries",
            {
                "{{agent_type}} {{step}}": "sum by (agent_type, step)"
                f" (increase(step_retries_total{{{OF_AGENT}}}[$__rate_interval]))"
            },
            width=8,
        ),
        Panel(
            "What authors count",
            "timeseries",
            {
                "{{operation_type}} {{status}}": "sum by (operation_type, status)"
                ' (increase(custom_operations_total{org=~"$org"}[$__rate_interval]))'
            },
            width=8,
        ),
    ),
)

WAREHOUSE = Dashboard(
    "warehouse",
    "Roundsman: warehouse",
    {
        "org": "warehouse_freshness_slo_seconds, org",
        "round": "warehouse_freshness_slo_seconds, round",
    },
    (
        Panel(
            "Parity: difference",
            "timeseries",
            {
                "{{round}}": f"warehouse_parity_difference_percent{{{OF_ROUND}}}",
                "{{round}} tolerated": f"warehouse_parity_threshold_percent{{{OF_ROUND}}}",
            },
            unit="percent",
            said="As the round's last run found it; a gap where it could not be seen.",
        ),
        Panel(
            "Rounds whose sides differ",
            "stat",
            {"{{round}}": f"warehouse_parity_degraded{{{OF_ROUND}}}"},
            width=12,
            colours=UNKNOWN,
        ),
        Panel(
            "Freshness: age of the newest row",
            "timeseries",
            {
                "{{round}}": f"warehouse_freshness_age_seconds{{{OF_ROUND}}}",
                "{{round}} tolerated": f"warehouse_freshness_slo_seconds{{{OF_ROUND}}}",
            },
            unit="s",
            said="Of the older side, when the round last looked.",
        ),
        Panel(
            "Search against warehouse",
            "timeseries",
            {"{{round}} {{side}}": f"warehouse_rows{{{OF_ROUND}}}"},
            said="Rows in the window of the round's last run.",
        ),
        Panel(
            "Remediations in 24 hours",
            "stat",
            {
                "{{outcome}}": _grown(
                    'agent_actions_total{org=~"$org", action="build"}', "outcome", "24h"
                )
            },
            said="Builds that a verdict asked for and a permit allowed.",
        ),
        Panel(
            "Runs of the warehouse's rounds that failed in 24 hours",
            "stat",
            {
                "{{agent_type}}": _grown(
                    'agent_runs_total{status="failed", agent_type="warehouse_health", org=~"$org"}',
                    "agent_type",
                    "24h",
                )
            },
            colours=UNKNOWN,
        ),
    ),
)
DASHBOARDS = (AGENTS, WAREHOUSE)


def as_json(dashboard: Dashboard) -> Json:
    """A dashboard as Grafana imports it."""
    return {
        "uid": f"roundsman-{dashboard.name}",
        "title": dashboard.title,
        "tags": ["roundsman"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "timezone": "utc",
        "refresh": "30s",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": [_source(), *_variables(dashboard)]},
        "panels": _placed(dashboard.panels),
    }


def _source() -> Json:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _variables(dashboard: Dashboard) -> list[Json]:
    return [
        {
            "name": name,
            "type": "query",
            "datasource": SOURCE,
            "query": f"label_values({values})",
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        }
        for name, values in dashboard.variables.items()
    ]


def _placed(panels: tuple[Panel, ...]) -> list[Json]:
    """Panels from left to right, in a new line where the next one does not fit."""
    placed: list[Json] = []
    x = y = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > COLUMNS:
            x, y = 0, y + HEIGHT
        placed.append(_panel(panel, number) | {"gridPos": _place(panel, x, y)})
        x += panel.width
    return placed


def _place(panel: Panel, x: int, y: int) -> Json:
    return {"x": x, "y": y, "w": panel.width, "h": HEIGHT}


def _panel(panel: Panel, number: int) -> Json:
    is_now = panel.kind in ("table", "stat", "gauge")
    steps = [{"value": value, "color": colour} for value, colour in panel.colours]
    defaults: Json = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "gauge":
        defaults |= {"min": 0, "max": 100}
    return {
        "id": number,
        "title": panel.title,
        "description": panel.said,
        "type": panel.kind,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": expression,
                "legendFormat": legend,
                "instant": is_now,
                "range": not is_now,
                "format": "table" if panel.kind == "table" else "time_series",
            }
            for index, (legend, expression) in enumerate(panel.queries.items())
        ],
    }


def text_of(dashboard: Dashboard) -> str:
    """What its file holds."""
    return json.dumps(as_json(dashboard), indent=2) + "\n"


def main() -> None:
    """Write every dashboard."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.name}.json").write_text(text_of(dashboard))


if __name__ == "__main__":
    main()
