"""Metrics, log events and health checks: what documents and alerts name is what the code has."""

from __future__ import annotations

import ast
import importlib.util
import json
import logging
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from passferry_contracts.registry import SERVICES
from passferry_runtime.logging import JsonFormatter

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "observability"
PAGE = ROOT / "docs" / "observability.md"
PARTS = ("runtime", *SERVICES)
SERIES = re.compile(r"\b((?:passferry|pass)_[a-z0-9_]+)\b(?:\{([^}]*)\})?")
#: A name in backticks, as pages write it; codes such as `pass_unknown` are not meant.
NAMED = re.compile(
    r"`((?:passferry|pass_notifications?|pass_device_registrations)_[a-z0-9_]+)(?:\{[^`]*\})?`"
)
LABEL = re.compile(r"([a-z_]+)\s*(?:=~|!=|!~|=)")


def load_tables() -> ModuleType:
    path = ROOT / "docs" / "observability_tables.py"
    specification = importlib.util.spec_from_file_location("observability_tables", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    importlib.import_module("sys").modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


TABLES = load_tables()
METRICS = [row for rows in TABLES.all_metrics().values() for row in rows]
LABELS_OF_SERIES = {
    series: {*row.labels, *(("le",) if series.endswith("_bucket") else ())}
    for row in METRICS
    for series in row.series
}
ALERT_FILE = yaml.safe_load((FOLDER / "alerts.yaml").read_text())
RULES = [rule for group in ALERT_FILE["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
TARGETS = [each for panel in DASHBOARD["panels"] for each in panel.get("targets", [])]


def faults_in(expression: str) -> list[str]:
    """Series that no service has, and labels that a series has not."""
    found = []
    for series, selector in SERIES.findall(expression):
        if series not in LABELS_OF_SERIES:
            found.append(series)
        found += [
            f"{series}.{label}"
            for label in LABEL.findall(selector)
            if label not in LABELS_OF_SERIES.get(series, ())
        ]
    return found


def calls_of(function: str) -> list[ast.Call]:
    return [
        node
        for part in PARTS
        for path in TABLES.source_of(part).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == function
    ]


def test_the_page_of_metrics_and_log_events_is_what_the_code_says():
    text = PAGE.read_text()
    assert TABLES.page(text) == text, "run `make docs`"


def test_alerts_and_the_dashboard_use_only_series_and_labels_that_exist():
    """proves: J62"""
    expressions = [rule["expr"] for rule in RULES] + [target["expr"] for target in TARGETS]
    assert [fault for expression in expressions for fault in faults_in(expression)] == []


def test_a_series_or_label_that_does_not_exist_is_found():
    assert faults_in("rate(passferry_nothing_total[5m])") == ["passferry_nothing_total"]
    known = 'passferry_events_consumed_total{pass_id="x", topic=~"y"}'
    assert faults_in(known) == ["passferry_events_consumed_total.pass_id"]


@pytest.mark.parametrize(
    "page", [PAGE, *sorted((ROOT / "docs" / "runbooks").glob("*.md"))], ids=lambda path: path.name
)
def test_every_metric_that_a_page_names_exists(page):
    known = {row.name for row in METRICS} | set(LABELS_OF_SERIES)
    assert [name for name in NAMED.findall(page.read_text()) if name not in known] == []


def test_every_metric_is_declared_in_the_one_list_of_its_service():
    declared = set()
    for part in PARTS:
        for path in TABLES.source_of(part).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module == "prometheus_client":
                    names = {each.name for each in node.names}
                    if names & {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}:
                        declared.add(path.name)
    assert declared == {"metrics.py"}


def test_every_metric_says_what_it_tells():
    assert [row.name for row in METRICS if len(row.help.split()) < 2] == []


def test_log_events_are_static_words_and_no_event_is_missed():
    """proves: J65"""
    for part in PARTS:
        for row in TABLES.log_events_of(part):
            assert re.fullmatch(r"[a-z][a-z0-9_]*", row.event), f"{row.source}: {row.event}"


def test_a_log_event_that_is_put_together_is_found():
    call = next(TABLES.log_calls(ast.parse('log.info(f"{name}_failed")')))
    with pytest.raises(ValueError, match="not a literal"):
        TABLES._log_row(call, "x.py")  # the one place that refuses it


def test_the_page_names_every_key_of_a_log_line():
    record = logging.LogRecord("logger", logging.INFO, "", 0, "event", (), None)
    line = json.loads(JsonFormatter("ledger", "1").format(record))
    assert [key for key in line if f"`{key}`" not in PAGE.read_text()] == []


def test_the_page_names_every_health_check():
    page = PAGE.read_text()
    names = []
    for call in calls_of("Check"):
        given = next(each.value for each in call.keywords if each.arg == "name")
        if isinstance(given, ast.Constant):
            names.append(f"`{given.value}`")
        elif isinstance(given, ast.JoinedStr) and isinstance(given.values[0], ast.Constant):
            names.append(f"`{given.values[0].value}")
    assert len(names) > 5
    assert [name for name in names if name not in page] == []


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_it_is_and_where_its_runbook_stands(alert):
    assert alert["labels"]["severity"] in ("page", "ticket")
    annotations = alert["annotations"]
    assert annotations["summary"]
    assert annotations["description"]
    assert (ROOT / annotations["runbook_url"]).is_file()


def test_each_alert_has_a_case_that_fires_and_one_that_stays_silent():
    cases = yaml.safe_load((FOLDER / "alerts.test.yaml").read_text())["tests"]
    fires, silent = set(), set()
    for case in cases:
        for each in case["alert_rule_test"]:
            (fires if each.get("exp_alerts") else silent).add(each["alertname"])
    names = {alert["alert"] for alert in ALERTS}
    assert fires == names
    assert silent == names
